"""The names of torch that a rule may use: pure arithmetic, and nothing else.

Strings only: nothing here imports torch. A name belongs here when it computes values
or builds tensors; it does not when it touches files, processes, hooks, storages,
global modes or the shape of a tensor that somebody else holds.
"""

# Element by element, the same name as a function of torch and as a Tensor method.
ELEMENTWISE = """
abs absolute acos acosh add addcdiv addcmul angle asin asinh atan atan2 atanh
bitwise_and bitwise_not bitwise_or bitwise_xor ceil clamp clamp_max clamp_min clip
conj copysign cos cosh deg2rad digamma div divide eq erf erfc erfinv exp exp2 expm1
fix float_power floor floor_divide fmax fmin fmod frac ge greater greater_equal gt
heaviside hypot isclose isfinite isinf isnan isneginf isposinf isreal ldexp le lerp
less less_equal lgamma log log10 log1p log2 logaddexp logaddexp2 logical_and
logical_not logical_or logical_xor logit lt maximum minimum mul multiply nan_to_num
ne neg negative nextafter not_equal positive pow rad2deg real reciprocal remainder
round rsqrt sgn sigmoid sign signbit sin sinc sinh sqrt square sub subtract tan tanh
true_divide trunc xlogy
""".split()

# Reductions, orderings, linear algebra, indexing: torch.x(t, ...) and t.x(...).
WHOLE_TENSOR = """
addbmm addmm addmv addr adjoint all allclose amax amin aminmax any argmax argmin
argsort argwhere baddbmm bmm chunk corrcoef count_nonzero cov cross
cummax cummin cumprod cumsum det diag diag_embed diagflat diagonal diff dist dot
equal flatten flip fliplr flipud gather ger imag index_add index_copy index_fill
index_select inner inverse is_complex is_floating_point is_nonzero kron kthvalue
logcumsumexp logdet log_softmax logsumexp masked_fill masked_scatter masked_select
matmul matrix_exp matrix_power max mean median min mm moveaxis movedim msort mv
nanmean nanmedian nanquantile nansum narrow nonzero norm numel outer permute pinverse
prod qr quantile ravel relu renorm repeat_interleave reshape roll rot90 scatter
scatter_add scatter_reduce select slogdet softmax sort split squeeze std
sum svd swapaxes swapdims t take take_along_dim tensor_split tile topk trace
transpose tril triu unbind unflatten unique unique_consecutive unsqueeze var vdot
where clone detach
""".split()

FACTORIES = """
arange empty empty_like eye full full_like linspace logspace normal ones ones_like
rand rand_like randint randint_like randn randn_like randperm scalar_tensor tensor
as_tensor tril_indices triu_indices zeros zeros_like bernoulli multinomial
""".split()

TORCH_ONLY = """
atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors
broadcast_to bucketize can_cast cat cdist chain_matmul column_stack complex concat
concatenate cosine_similarity cumulative_trapezoid dstack einsum finfo iinfo
get_default_dtype hstack is_grad_enabled is_tensor isin meshgrid polar promote_types
searchsorted result_type std_mean stack svd_lowrank tensordot trapezoid trapz var_mean
view_as_complex view_as_real vstack no_grad enable_grad Tensor Generator Size device
dtype
""".split()

CONSTANTS = """
inf nan pi e float16 float32 float64 half float double bfloat16 int8 int16 int32 int64
uint8 short int long bool complex64 complex128 cfloat cdouble preserve_format
contiguous_format channels_last strided
""".split()

# `_foreach_*`: one call over lists of tensors. In-place twins are added below.
_FOREACH = """
abs acos add addcdiv addcmul asin atan ceil clamp_max clamp_min cos cosh div erf erfc
exp expm1 floor frac lerp lgamma log log10 log1p log2 maximum minimum mul neg pow
reciprocal round rsqrt sigmoid sign sin sinh sqrt sub tan tanh trunc
""".split()
FOREACH = sorted(
    [f"_foreach_{name}" for name in _FOREACH]
    + [f"_foreach_{name}_" for name in _FOREACH]
    + ["_foreach_copy_", "_foreach_max", "_foreach_norm", "_foreach_zero_"]
)

# Methods that write into the tensor they are called on. Missing on purpose: those that
# change its shape, storage or graph (resize_, set_, t_, squeeze_, requires_grad_ ...).
_IN_PLACE_OF_ELEMENTWISE = """
abs absolute acos acosh add addcdiv addcmul asin asinh atan atan2 atanh bitwise_and
bitwise_not bitwise_or bitwise_xor ceil clamp clamp_max clamp_min clip copysign cos
cosh deg2rad digamma div divide eq erf erfc erfinv exp exp2 expm1 fix float_power
floor floor_divide fmod frac ge greater greater_equal gt heaviside hypot ldexp le lerp
less less_equal lgamma log log10 log1p log2 logical_and logical_not logical_or
logical_xor logit lt mul multiply nan_to_num ne neg negative nextafter not_equal pow
rad2deg reciprocal remainder round rsqrt sgn sigmoid sign sin sinc sinh sqrt square
sub subtract tan tanh true_divide trunc xlogy
""".split()
IN_PLACE = sorted(
    [f"{name}_" for name in _IN_PLACE_OF_ELEMENTWISE]
    + """addbmm_ addmm_ addmv_ addr_ baddbmm_ bernoulli_ cauchy_ copy_ cumprod_ cumsum_
    exponential_ fill_ fill_diagonal_ geometric_ index_add_ index_copy_ index_fill_
    index_put_ log_normal_ masked_fill_ masked_scatter_ normal_ put_ random_ relu_
    renorm_ scatter_ scatter_add_ scatter_reduce_ tril_ triu_ uniform_ zero_""".split()
)

TENSOR_ONLY = """
detach_ new H T mH mT bfloat16 bool byte contiguous cpu cuda data device dim double
dtype element_size expand expand_as float get_device grad half index_put int
is_contiguous is_cpu is_cuda is_leaf is_same_size is_signed is_sparse item itemsize
layout long
nbytes ndim ndimension nelement new_empty new_full new_ones new_tensor new_zeros
repeat requires_grad reshape_as retains_grad shape short size split_with_sizes stride
sum_to_size to tolist type type_as unfold view view_as vsplit hsplit
dsplit
""".split()

# Of sparse gradients. A rule meets dense ones only: nothing here is ever called on what
# is not dense, and torch refuses most of them there.
SPARSE = "_indices _values coalesce is_coalesced sparse_mask to_dense".split()

LINALG = """
cholesky cond cross det diagonal eig eigh eigvals eigvalsh inv lstsq lu lu_factor
lu_solve matmul matrix_exp matrix_norm matrix_power matrix_rank multi_dot norm pinv qr
slogdet solve solve_triangular svd svdvals tensorsolve vecdot vector_norm LinAlgError
""".split()

FFT = """
fft fft2 fftfreq fftn fftshift ifft ifft2 ifftn ifftshift irfft irfft2 irfftn rfft rfft2
rfftfreq rfftn
""".split()

FUNCTIONAL = """
binary_cross_entropy binary_cross_entropy_with_logits celu cosine_similarity
cross_entropy dropout elu gelu glu hardshrink hardsigmoid hardswish hardtanh huber_loss
kl_div l1_loss layer_norm leaky_relu linear log_softmax logsigmoid mish mse_loss
nll_loss normalize one_hot pad relu relu6 rms_norm selu sigmoid silu smooth_l1_loss
softmax softmin softplus softshrink softsign tanh tanhshrink threshold
""".split()

NN_UTILS = """
clip_grad_norm clip_grad_norm_ clip_grad_value_ get_total_norm parameters_to_vector
vector_to_parameters
""".split()

# The classes a rule may be built on. `Optimizer` is the plain one.
BASES = """
Optimizer ASGD Adadelta Adagrad Adam AdamW Adamax Muon NAdam RAdam RMSprop Rprop SGD
""".split()

# What every optimizer of torch has beyond Python's own dunders. A source may neither
# define, write nor read these, the public ones in the next list apart.
OPTIMIZER_OWN = frozenset(
    """
OptimizerPostHook OptimizerPreHook _accelerator_graph_capture_health_check
_cuda_graph_capture_health_check _group_tensors_by_device_and_dtype _init_group
_optimizer_load_state_dict_post_hooks _optimizer_load_state_dict_pre_hooks
_optimizer_state_dict_post_hooks _optimizer_state_dict_pre_hooks _optimizer_step_code
_optimizer_step_post_hooks _optimizer_step_pre_hooks _patch_step_function
_process_value_according_to_param_policy _warned_capturable_if_run_uncaptured
_zero_grad_profile_name add_param_group defaults load_state_dict param_groups
profile_hook_step register_load_state_dict_post_hook register_load_state_dict_pre_hook
register_state_dict_post_hook register_state_dict_pre_hook register_step_post_hook
register_step_pre_hook share_memory state state_dict step zero_grad
_step_supports_amp_scaling _need_device_dtype_check_for_fused hooked
dux_source dux_digest
""".split()
)
# Those of them that a plain Optimizer has not: a rule that is built on no other may use
# them for its own, as torch's optimizers do.
OF_STOCK_OPTIMIZERS = frozenset(
    "_init_group _need_device_dtype_check_for_fused _step_supports_amp_scaling".split()
)
# What `half_state` keeps on a rule: saved as what the rule keeps, written by none.
KEPT_FOR_RULES = frozenset(["dux_rounding"])
# Helpers of torch's own optimizers that a rule may call; none of them is torch's.
OPTIMIZER_HELPERS = frozenset(
    """_accelerator_graph_capture_health_check _cuda_graph_capture_health_check
    _group_tensors_by_device_and_dtype""".split()
)
# Options of torch's own optimizers that choose kernels which trust their arguments.
KERNEL_FLAGS = "fused capturable differentiable".split()
OPTIMIZER_READABLE = """
add_param_group defaults load_state_dict param_groups state state_dict step zero_grad
""".split()
OPTIMIZER_OVERRIDABLE = frozenset(
    "add_param_group load_state_dict state_dict step zero_grad".split()
)

# What super() gives, and what an allowed class of torch gives.
SUPER = """
__init__ __setstate__ add_param_group load_state_dict state_dict step zero_grad
""".split()


# A text, which published optimizers ask before they choose between two spellings.
VERSION = "torch.__version__"


def global_of(path: str) -> str:
    """The name, which no source can spell, of the global that stands for a path.

    Without dots: what traces a step (`torch.compile`) takes those for attributes.

    >>> global_of("torch.zeros_like")
    '@torch:zeros_like'
    """
    return "@" + path.replace(".", ":")


_BASE_PATHS = frozenset(
    [f"torch.optim.{name}" for name in BASES]
    + ["torch.optim.optimizer.Optimizer", "torch.optim.adam.Adam"]
)


def base_path(path: str | None) -> str | None:
    """The name of torch's optimizer that a dotted path stands for, or None."""
    return path.rpartition(".")[2] if path in _BASE_PATHS else None

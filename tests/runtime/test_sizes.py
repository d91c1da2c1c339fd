"""Of every name of the vocabulary it was judged how much it could make."""

from __future__ import annotations

from dux_sandbox.language import idiom_names, torch_names, vocabulary
from dux_sandbox.runtime import tensor_caps

# What these make is no larger than the largest thing they are given (a few small
# factors apart), in time that grows with its size.
NO_LARGER = set(
    """
    abs absolute acos acosh adjoint all amax amin aminmax angle any arange
    argmax argmin argsort asin asinh atan atanh atleast_1d atleast_2d atleast_3d
    bernoulli bitwise_not broadcast_shapes bucketize can_cast ceil clone conj
    cos cosh count_nonzero cummax cummin cumprod cumsum deg2rad detach diagonal
    digamma dot empty_like equal erf erfc erfinv exp exp2 expm1 finfo fix
    flatten flip fliplr flipud floor frac full_like gather get_default_dtype
    iinfo imag index_add index_copy index_fill inner is_complex
    is_floating_point is_grad_enabled is_nonzero is_tensor isfinite isin isinf
    isnan isneginf isposinf isreal kthvalue lgamma log log10 log1p log2
    log_softmax logcumsumexp logical_not logit logsumexp max mean median min
    mode moveaxis movedim msort nan_to_num nanmean nanmedian nansum narrow neg
    negative norm numel ones_like permute positive prod promote_types rad2deg
    rand_like randint_like randn_like ravel real reciprocal relu renorm reshape
    result_type roll rot90 round rsqrt scalar_tensor scatter scatter_add
    scatter_reduce searchsorted select sgn sigmoid sign signbit sin sinc sinh
    softmax sort sqrt square squeeze std std_mean sum swapaxes swapdims t take
    tan tanh topk trace transpose tril triu trunc unflatten unique
    unique_consecutive unsqueeze var var_mean vdot view_as_complex view_as_real
    zeros_like no_grad enable_grad Tensor Generator Size device dtype linalg nn
    optim
    """.split()
)
LINALG = set("diagonal vector_norm LinAlgError".split())
FUNCTIONAL = set(
    """
    celu cross_entropy dropout elu gelu glu hardshrink hardsigmoid hardswish hardtanh
    layer_norm leaky_relu log_softmax logsigmoid mish nll_loss normalize relu
    relu6 rms_norm selu sigmoid silu softmax softmin softplus softshrink
    softsign tanh tanhshrink threshold
    """.split()
)
NN_UTILS = set(
    """
    clip_grad clip_grad_norm clip_grad_norm_ clip_grad_value_ get_total_norm
    vector_to_parameters
    """.split()
)
# In place nothing grows; these look at a tensor, or show it in another way.
METHODS = set(
    """
    H T mH mT bfloat16 bool byte contiguous cpu cuda data device dim double
    dtype element_size float get_device grad half int is_contiguous
    is_cpu is_cuda is_leaf is_same_size is_signed is_sparse item itemsize layout
    long nbytes ndim ndimension nelement requires_grad reshape_as retains_grad
    shape short size stride sum_to_size to type type_as view view_as
    """.split()
)


def unjudged(module: str, harmless: set[str]) -> list[str]:
    """Names of a module for which nobody has said what they make."""
    checked = tensor_caps.FUNCTIONS
    return [
        name
        for name in vocabulary.MODULES[module]
        if name not in harmless
        and f"{module}.{name}" not in checked
        and name not in _CONSTANTS
        and not (name.startswith("_foreach_") and name.endswith("_"))
    ]


_CONSTANTS = set(
    """
    inf nan pi e float16 float32 float64 half float double bfloat16 int8 int16
    int32 int64 uint8 short int long bool complex64 complex128 cfloat cdouble
    preserve_format contiguous_format channels_last strided
    """.split()
)


def test_every_function_of_torch_is_judged_by_what_it_makes() -> None:
    # Named, never called: what they stand for is left out of a rule.
    idle = {
        *idiom_names.NO_KERNELS,
        *idiom_names.NO_TRANSFORMS,
        "compile",
        "compiler",
        "jit",
    }
    idle |= {"_dynamo", "_utils", "amp", "autocast", "autograd", "cpu", "cuda", "fft"}
    idle |= {"sparse", "utils"}
    assert [] == unjudged("torch", NO_LARGER | idle)
    assert [] == unjudged("torch.fft", {"fftshift", "ifftshift"})
    assert [] == unjudged("torch.linalg", LINALG)
    assert [] == unjudged("torch.nn.functional", FUNCTIONAL)
    assert [] == unjudged("torch.nn.utils", NN_UTILS)


def test_every_method_of_a_tensor_is_judged_by_what_it_makes() -> None:
    judged = NO_LARGER | METHODS | set(tensor_caps.METHODS) | set(torch_names.SPARSE)
    judged |= {"new"}  # by what new_zeros and new_tensor make

    found = [name for name in vocabulary.TENSOR if not name.endswith("_")]

    assert [] == [name for name in found if name not in judged]


def test_no_judgement_is_of_a_name_that_nobody_may_use() -> None:
    paths = [f"{m}.{n}" for m, names in vocabulary.MODULES.items() for n in names]

    assert [] == [path for path in tensor_caps.FUNCTIONS if path not in paths]
    assert [] == [n for n in tensor_caps.METHODS if n not in vocabulary.TENSOR]

"""Names that published optimizers import: torch's private helpers, hints, warnings.

Strings only. What stands behind them is in `dux_sandbox.runtime.idioms`: none of it is
torch's own, and most of it does nothing.
"""

# Of torch.optim.optimizer: what torch's own optimizers are written with.
OPTIMIZER_HELPERS = """
_default_to_fused_or_foreach _device_dtype_check_for_fused
_disable_dynamo_if_unsupported _dispatch_sqrt _get_capturable_supported_devices
_get_scalar_dtype _get_value _stack_if_compiling _to_scalar
_use_grad_for_differentiable _view_as_real
""".split()
OPTIMIZER_DOCS = """
_capturable_doc _differentiable_doc _foreach_doc _fused_doc _maximize_doc _params_doc
""".split()
OPTIMIZER_TYPES = """
DeviceDict DeviceDtypeDict Indices ParamsT StateDict TensorListList _params_t
""".split()

# Kernels that trust what they are given; a rule gets no further than naming them.
FUSED = "_fused_adagrad_ _fused_adam_ _fused_adamw_ _fused_sgd_".split()
NO_KERNELS = [*FUSED, "sparse_coo_tensor"]
# Of torch.sparse, as those are made that no rule ever meets.
SPARSE_MADE = "DoubleTensor FloatTensor HalfTensor LongTensor".split()
# Asked for in a `try`, with a loop for where it fails.
NO_TRANSFORMS = ["vmap"]

JIT = "export ignore is_scripting is_tracing script unused".split()
COMPILER = """
allow_in_graph cudagraph_mark_step_begin disable is_compiling is_dynamo_compiling
is_exporting
""".split()
DYNAMO = "allow_in_graph disable graph_break is_compiling".split()
DYNAMO_UTILS = ["disable_cache_limit"]
UTILS = ["is_compiling"]
FOREACH_UTILS = """
_device_has_foreach_support _get_foreach_kernels_supported_devices
_group_tensors_by_device_and_dtype _has_foreach_support
""".split()
AUTOGRAD = "Variable enable_grad no_grad".split()
# Of torch.nn: what computes with its arguments alone, and keeps nothing.
ACTIVATIONS = """
CELU ELU GELU Hardshrink Hardsigmoid Hardswish Hardtanh Identity LeakyReLU LogSigmoid
LogSoftmax Mish ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmin Softplus Softshrink
Softsign Tanh Tanhshrink Threshold
""".split()
LIKENESSES = "CosineSimilarity L1Loss MSELoss".split()  # of two tensors
STATELESS = (*ACTIVATIONS, *LIKENESSES)
# Contexts that change nothing of what a rule computes: its tensors keep their dtypes.
AUTOCAST = frozenset(
    f"torch.{name}autocast" for name in ("", "amp.", "cpu.amp.", "cuda.amp.")
)
CUDA_NOT = "is_available is_bf16_supported is_current_stream_capturing".split()
CUDA_IDLE = "empty_cache synchronize".split()
CUDA = [*CUDA_NOT, *CUDA_IDLE]
NN_INIT = """
constant_ eye_ kaiming_normal_ kaiming_uniform_ normal_ ones_ orthogonal_
trunc_normal_ uniform_ xavier_normal_ xavier_uniform_ zeros_
""".split()

WARNINGS = "filterwarnings simplefilter warn".split()
LOGGER_METHODS = """
addHandler critical debug error exception info isEnabledFor log setLevel warn warning
""".split()
LOGGING = """
CRITICAL DEBUG ERROR INFO NullHandler WARNING basicConfig critical debug error exception
getLogger info log warn warning
""".split()
ABC = "ABC ABCMeta abstractmethod".split()
DATACLASSES = "dataclass field".split()

# Decorators that only speed things up or say something: they are taken off.
SPEED = frozenset(
    """torch.compile torch.jit.script torch.jit.ignore torch.jit.unused torch.jit.export
    torch.compiler.disable torch.compiler.allow_in_graph
    torch._dynamo.disable torch._dynamo.allow_in_graph
    torch._dynamo.utils.disable_cache_limit
    torch.optim.optimizer._disable_dynamo_if_unsupported
    functools.lru_cache functools.cache""".split()
)
SAYING = frozenset(
    """typing.override typing.final typing.overload typing.runtime_checkable
    typing.no_type_check typing_extensions.override typing_extensions.final
    typing_extensions.overload typing_extensions.runtime_checkable abc.abstractmethod
    functools.wraps""".split()
)
# Bases that say what a class is for, and give it nothing.
SAYING_BASES = frozenset(
    """typing.Protocol typing.Generic typing_extensions.Protocol abc.ABC
    typing_extensions.Generic""".split()
)
# About the module or its classes, and nothing to the rule.
MODULE_DUNDERS = frozenset(
    """__all__ __author__ __authors__ __contact__ __copyright__ __credits__ __date__
    __email__ __license__ __maintainer__ __slots__ __status__ __version__
    __version_info__""".split()
)

"""The names of Python that a rule may use: builtins, small modules, and methods.

Strings only. A builtin is here when nothing can be reached through it but values;
`dux_sandbox.runtime.facade` supplies the objects, many of them capped stand-ins.
"""

from __future__ import annotations

BUILTINS = """
abs all any bool callable chr complex dict divmod enumerate filter float format
frozenset getattr hasattr hash id int isinstance issubclass iter len list map max min
next object ord pow print property range repr reversed round set setattr slice sorted
staticmethod classmethod str sum super tuple type zip Ellipsis NotImplemented
ArithmeticError AssertionError AttributeError DeprecationWarning Exception
FloatingPointError FutureWarning ImportError IndexError KeyError LookupError MemoryError
ModuleNotFoundError NameError NotImplementedError OverflowError RecursionError
RuntimeError RuntimeWarning StopIteration SyntaxWarning TypeError UserWarning ValueError
Warning ZeroDivisionError
""".split()

MATH = """
acos acosh asin asinh atan atan2 atanh cbrt ceil comb copysign cos cosh degrees dist e
erf erfc exp exp2 expm1 fabs factorial floor fmod frexp fsum gamma gcd hypot inf
isclose isfinite isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf nan
nextafter pi pow prod radians remainder sin sinh sqrt tan tanh tau trunc ulp
""".split()

# Types only: these stand for nothing when the rule runs.
TYPING = """
Annotated Any AnyStr Callable ClassVar Collection Concatenate DefaultDict Deque Dict
Final FrozenSet Generator Generic Hashable Iterable Iterator List Literal
LiteralString Mapping MutableMapping MutableSequence NamedTuple Never NoReturn
NotRequired Optional OrderedDict ParamSpec Protocol Required Self Sequence Set Sized
SupportsFloat SupportsInt TYPE_CHECKING Text Tuple Type TypeAlias TypeGuard TypeVar
TypedDict Union Unpack cast final no_type_check overload override runtime_checkable
""".split()

COLLECTIONS_ABC = """
Callable Iterable Iterator Mapping MutableMapping Sequence
""".split()
# Old code finds the classes of `collections.abc` in `collections`.
COLLECTIONS = "OrderedDict abc defaultdict deque namedtuple".split() + COLLECTIONS_ABC
FUNCTOOLS = "cache lru_cache partial reduce wraps".split()
ITERTOOLS = """
accumulate chain islice pairwise repeat starmap takewhile dropwhile zip_longest
""".split()

# Methods of plain values, by type. Nothing that formats (format, format_map), encodes,
# or hands out a frame, a code object or a class.
DICT_METHODS = "clear copy get items keys pop popitem setdefault update values".split()
METHODS: dict[str, tuple[str, ...]] = {
    "dict": tuple(DICT_METHODS),
    "OrderedDict": (*DICT_METHODS, "move_to_end"),
    "defaultdict": tuple(DICT_METHODS),
    "list": tuple(
        "append clear copy count extend index insert pop remove reverse sort".split()
    ),
    "deque": tuple(
        """append appendleft clear copy count extend extendleft index maxlen pop
        popleft remove reverse rotate""".split()
    ),
    "tuple": ("count", "index"),
    "set": tuple(
        """add clear copy difference discard intersection isdisjoint issubset
        issuperset pop remove symmetric_difference union update""".split()
    ),
    "frozenset": tuple(
        "copy difference intersection isdisjoint issubset issuperset union".split()
    ),
    "str": tuple(
        """capitalize casefold center count endswith find index isalnum isalpha
        isdecimal isdigit isidentifier islower isnumeric isspace istitle isupper join
        ljust lower lstrip partition removeprefix removesuffix replace rfind rindex
        rjust rpartition rsplit rstrip split splitlines startswith strip swapcase
        title upper zfill""".split()
    ),
    "int": tuple(
        "bit_count bit_length conjugate denominator imag numerator real".split()
    ),
    "float": ("conjugate", "hex", "imag", "is_integer", "real"),
    "complex": ("conjugate", "imag", "real"),
    "range": ("count", "index", "start", "step", "stop"),
    "slice": ("start", "step", "stop"),
    "chain": ("from_iterable",),
    "property": ("getter", "setter"),
    "Exception": ("args",),
    "Size": ("count", "index", "numel"),
    "device": ("index", "type"),
    "dtype": ("is_complex", "is_floating_point", "is_signed", "itemsize"),
    "finfo": (
        "bits",
        "dtype",
        "eps",
        "max",
        "min",
        "resolution",
        "smallest_normal",
        "tiny",
    ),
    "iinfo": ("bits", "dtype", "max", "min"),
    "Generator": ("device", "initial_seed", "manual_seed"),
}

# Fields of the named tuples that torch returns: torch.max(t, 0).values and the like.
RESULT_FIELDS = """
values indices eigenvalues eigenvectors Q R U S V Vh L LU pivots sign logabsdet
solution residuals rank singular_values mode counts inverse_indices hist bin_edges
""".split()

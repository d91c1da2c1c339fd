"""What building a recorded rule will want, made beforehand."""

import logging

from dux_sandbox.findings import RuleFailed, SourceRejected, digest_of
from dux_sandbox.limits import Limits
from dux_sandbox.replaying.bounds import bounds_for
from dux_sandbox.replaying.child import RecordingProcess
from dux_sandbox.replaying.hindrance import FAULTS
from dux_sandbox.replaying.plainness import require_plain
from dux_sandbox.replaying.proof import prove
from dux_sandbox.running_rule import ParamGroups, parameters_of

log = logging.getLogger(__name__)


def prepare(source: str, groups: ParamGroups, limits: Limits, seed: int) -> None:
    """Record, prove and compile what `build` will want, in any thread.

    Weights are copied, which may be written meanwhile. What speaks against the
    rule `build` says.
    """
    process = None
    try:
        require_plain(parameters_of(groups))
        process = RecordingProcess(source, groups, limits=limits, seed=seed)
        bounds = bounds_for(parameters_of(groups), limits)
        prove(source, groups, process, bounds, limits, seed)
    except (*FAULTS, RuleFailed, SourceRejected) as error:
        log.debug("rule %s is not prepared: %s", digest_of(source)[:12], error)
    finally:
        if process is not None:
            process.close()

"""Whole trainings: steps, closures, saves, loads, new groups, freezing."""

from dux_sandbox.laws.cases import Case, Parameter, tensor_text
from dux_sandbox.laws.law import LR, MATRIX, Drawn, Law, case
from dux_sandbox.laws.training import Training

MOVES = (
    "step",
    "closure",
    "resume",
    "rewind",
    "add",
    "freeze",
    "unfreeze",
    "idle",
    "zero_grad",
    "halve",
)
_MOST_GROUPS = 4


class Episode:
    """A training under way; each method is one move and holds the rule to the claim.

    Nothing raises, every parameter stays finite, and frozen ones stay where they are.
    That a resumed training goes on the same is for `checkpoint` to say.
    """

    def __init__(self, training: Training, held: Case) -> None:
        """Build the parameters of a case and their optimizer."""
        self._training = training
        self._lr = training.options_text(LR)
        self._count = len(held.parameters)
        self._added: list[int] = []
        self._frozen = False
        self._saved = False
        self._steps = 0
        self._shapes = [each.shape for each in held.parameters]
        self._dtype = "float64" if training.facts.tiny else "float32"
        for at, each in enumerate(held.parameters):
            training.run(f"p{at} = {each.text(at)}")
        training.run(f"ps = [{', '.join(f'p{at}' for at in range(self._count))}]")
        training.seed()
        training.run(f'optimizer = factory([{{"params": list(ps){self._lr}}}])')

    def step(self) -> None:
        """Gradients for all that are not frozen, and a step."""
        self._train(frozen_only=False)

    def idle(self) -> None:
        """A step for which there is no gradient at all."""
        self._train(frozen_only=True)

    def _train(self, *, frozen_only: bool) -> None:
        self._steps += 1
        run = self._training.run
        for at, shape in enumerate(self._shapes):
            if frozen_only or (at == 0 and self._frozen):
                run(f"ps[{at}].grad = None")
            else:
                phase = 5 * self._steps + 3 * at
                text = tensor_text(shape, "mixed", phase, self._dtype)
                run(f"ps[{at}].grad = {text}")
        self._before()
        self._training.seed()
        if self._training.facts.by_closure:
            self._training.script.use("linear_loss")
            run("optimizer.step(linear_loss(*ps))")
        else:
            run("optimizer.step()")
        self._after(everything=frozen_only)

    def closure(self) -> None:
        """A step with a closure that does what closures do."""
        self._before()
        run = self._training.run
        run(
            "def closure():\n"
            "    optimizer.zero_grad()\n"
            "    loss = sum(((p - 1) ** 2).sum() for p in ps if p.requires_grad)\n"
            "    if any(p.requires_grad for p in ps):\n"
            "        loss.backward()\n"
            "    return loss"
        )
        self._training.seed()
        run("optimizer.step(closure)")
        self._after()

    def resume(self) -> None:
        """Save, and go on with new tensors and a new optimizer."""
        run = self._training.run
        run("saved = pickle.loads(pickle.dumps(optimizer.state_dict()))")
        run(
            "ps = [torch.nn.Parameter(p.detach().clone(), p.requires_grad) for p in ps]"
        )
        first = self._count
        run(f'optimizer = factory([{{"params": ps[:{first}]{self._lr}}}])')
        for at in self._added:
            run(f'optimizer.add_param_group({{"params": [ps[{at}]]{self._lr}}})')
        run("optimizer.load_state_dict(saved)")
        self._saved = True

    def rewind(self) -> None:
        """Load what was saved into the optimizer that runs; save first if need be."""
        if not self._saved:
            self._training.run("saved = copy.deepcopy(optimizer.state_dict())")
            self._saved = True
        self._training.run("optimizer.load_state_dict(copy.deepcopy(saved))")

    def add(self) -> None:
        """One more group, up to four."""
        if len(self._added) + 1 >= _MOST_GROUPS:
            return
        at = len(self._shapes)
        run = self._training.run
        run(f"ps.append({Parameter(MATRIX, self._dtype).text(at)})")
        run(f'optimizer.add_param_group({{"params": [ps[{at}]]{self._lr}}})')
        self._shapes.append(MATRIX)
        self._added.append(at)
        self._saved = False

    def freeze(self) -> None:
        """The first parameter asks for no gradient any more."""
        self._training.run("ps[0].requires_grad_(False)")
        self._training.run("ps[0].grad = None")
        self._frozen = True

    def unfreeze(self) -> None:
        """The first parameter asks for gradients again."""
        self._training.run("ps[0].requires_grad_(True)")
        self._frozen = False

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self._training.run("optimizer.zero_grad()")

    def halve(self) -> None:
        """Halve the learning rate, as a scheduler does."""
        if self._training.facts.number("lr") is not None:
            self._training.run('for g in optimizer.param_groups: g["lr"] *= 0.5')

    def _before(self) -> None:
        self._training.run("before = [p.detach().clone() for p in ps]")

    def _after(self, *, everything: bool = False) -> None:
        claim = self._training.claim
        claim("all(torch.isfinite(p).all() for p in ps)", "a parameter is not finite")
        if everything:
            claim("all(map(torch.equal, ps, before))", "no gradient, and it moves")
        elif self._frozen:
            claim("torch.equal(ps[0], before[0])", "a frozen parameter moves")


def episode(training: Training, held: Case) -> None:
    """A training of the moves in `variant`."""
    control = training.apart()
    Episode(control, held).step()
    training.accuse()
    running = Episode(training, held)
    for move in held.variant.split():
        getattr(running, move)()


EPISODE = Law(
    name="episode",
    retells=True,
    claim="Steps, closures, saves, loads, new groups and freezing go in any order.",
    reason="A run is all of these, one after another.",
    catches="state that is missing, or of another shape, for a parameter that came "
    "late, was frozen, or was loaded; lists that are not in step any more.",
    experiment=episode,
    corners=(
        case(MATRIX, variant="freeze closure unfreeze closure"),
        *(
            case(MATRIX, (3,), variant=variant)
            for variant in (
                "step add step resume step",
                "freeze step unfreeze step step",
                "step freeze step rewind step unfreeze step",
                "resume step add resume step closure",
                "idle step zero_grad step halve step closure step",
            )
        ),
    ),
    drawn=Drawn(
        parameters=(1, 2), steps=(1, 1), variants=MOVES, moves=8, decaying=False
    ),
)

"""What `torch.optim._functional` holds, written in the language of rules itself.

torch's own optimizers of before 1.12 call it, and so do copies of them: with counts of
steps that are numbers, which torch does not take any more, or with tensors, which are
counted on in place. Formulas as in torch's `_single_tensor_*`.
"""

# Modules of torch that hold such functions, by the name each function is written under.
HOME = "functional"
MODULES = frozenset(
    f"torch.optim.{name}"
    for name in "_functional adadelta adagrad adamax adamw radam rmsprop sgd".split()
)
WRITTEN = """
def functional_count(step):
    if isinstance(step, torch_written_out.Tensor):
        step.add_(1)
        return step.item()
    return step

def functional_adam(
    params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps,
    amsgrad=False, beta1=0.9, beta2=0.999, lr=1e-3, weight_decay=0.0, eps=1e-8,
    maximize=False, decoupled=False, **others,
):
    for at, (p, grad) in enumerate(zip(params, grads)):
        count = functional_count(state_steps[at])
        grad = -grad if maximize else grad
        if weight_decay != 0 and decoupled:
            p.mul_(1 - lr * weight_decay)
        elif weight_decay != 0:
            grad = grad.add(p, alpha=weight_decay)
        exp_avgs[at].mul_(beta1).add_(grad, alpha=1 - beta1)
        exp_avg_sqs[at].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        second = exp_avg_sqs[at]
        if amsgrad:
            second = max_exp_avg_sqs[at]
            second.copy_(torch_written_out.maximum(second, exp_avg_sqs[at]))
        root = (1 - beta2 ** count) ** 0.5
        denominator = (second.sqrt() / root).add_(eps)
        p.addcdiv_(exp_avgs[at], denominator, value=-lr / (1 - beta1 ** count))

def functional_adamw(params, grads, *buffers, **options):
    functional_adam(params, grads, *buffers, decoupled=True, **options)

def functional_sgd(
    params, d_p_list, momentum_buffer_list, weight_decay=0.0, momentum=0.0, lr=1e-3,
    dampening=0.0, nesterov=False, maximize=False, **others,
):
    for at, (p, grad) in enumerate(zip(params, d_p_list)):
        grad = -grad if maximize else grad
        if weight_decay != 0:
            grad = grad.add(p, alpha=weight_decay)
        if momentum != 0:
            buffer = momentum_buffer_list[at]
            if buffer is None:
                buffer = grad.detach().clone()
                momentum_buffer_list[at] = buffer
            else:
                buffer.mul_(momentum).add_(grad, alpha=1 - dampening)
            grad = grad.add(buffer, alpha=momentum) if nesterov else buffer
        p.add_(grad, alpha=-lr)

def functional_rmsprop(
    params, grads, square_avgs, grad_avgs, momentum_buffer_list, state_steps=(),
    lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False,
    maximize=False, **others,
):
    for step in state_steps:
        functional_count(step)
    for at, (p, grad) in enumerate(zip(params, grads)):
        grad = -grad if maximize else grad
        if weight_decay != 0:
            grad = grad.add(p, alpha=weight_decay)
        square_avgs[at].mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        average = square_avgs[at]
        if centered:
            grad_avgs[at].mul_(alpha).add_(grad, alpha=1 - alpha)
            average = average.addcmul(grad_avgs[at], grad_avgs[at], value=-1)
        average = average.sqrt().add_(eps)
        if momentum > 0:
            buffer = momentum_buffer_list[at]
            buffer.mul_(momentum).addcdiv_(grad, average)
            p.add_(buffer, alpha=-lr)
        else:
            p.addcdiv_(grad, average, value=-lr)

def functional_adagrad(
    params, grads, state_sums, state_steps, lr=1e-2, weight_decay=0.0, lr_decay=0.0,
    eps=1e-10, maximize=False, **others,
):
    for at, (p, grad) in enumerate(zip(params, grads)):
        count = functional_count(state_steps[at])
        grad = -grad if maximize else grad
        if weight_decay != 0:
            grad = grad.add(p, alpha=weight_decay)
        state_sums[at].addcmul_(grad, grad, value=1)
        root = state_sums[at].sqrt().add_(eps)
        p.addcdiv_(grad, root, value=-lr / (1 + (count - 1) * lr_decay))

def functional_adadelta(
    params, grads, square_avgs, acc_deltas, state_steps=(), lr=1.0, rho=0.9, eps=1e-6,
    weight_decay=0.0, maximize=False, **others,
):
    for step in state_steps:
        functional_count(step)
    for at, (p, grad) in enumerate(zip(params, grads)):
        grad = -grad if maximize else grad
        if weight_decay != 0:
            grad = grad.add(p, alpha=weight_decay)
        square_avgs[at].mul_(rho).addcmul_(grad, grad, value=1 - rho)
        deviation = square_avgs[at].add(eps).sqrt_()
        delta = acc_deltas[at].add(eps).sqrt_().div_(deviation).mul_(grad)
        acc_deltas[at].mul_(rho).addcmul_(delta, delta, value=1 - rho)
        p.add_(delta, alpha=-lr)

def functional_adamax(
    params, grads, exp_avgs, exp_infs, state_steps, eps=1e-8, beta1=0.9, beta2=0.999,
    lr=2e-3, weight_decay=0.0, maximize=False, **others,
):
    for at, (p, grad) in enumerate(zip(params, grads)):
        count = functional_count(state_steps[at])
        grad = -grad if maximize else grad
        if weight_decay != 0:
            grad = grad.add(p, alpha=weight_decay)
        exp_avgs[at].lerp_(grad, 1 - beta1)
        largest = torch_written_out.maximum(
            exp_infs[at].mul_(beta2), grad.abs().add_(eps)
        )
        exp_infs[at].copy_(largest)
        p.addcdiv_(exp_avgs[at], exp_infs[at], value=-lr / (1 - beta1 ** count))

def functional_radam(
    params, grads, exp_avgs, exp_avg_sqs, state_steps, beta1=0.9, beta2=0.999, lr=1e-3,
    weight_decay=0.0, eps=1e-8, maximize=False, **others,
):
    for at, (p, grad) in enumerate(zip(params, grads)):
        count = functional_count(state_steps[at])
        grad = -grad if maximize else grad
        if weight_decay != 0:
            grad = grad.add(p, alpha=weight_decay)
        exp_avgs[at].lerp_(grad, 1 - beta1)
        exp_avg_sqs[at].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        first, second = 1 - beta1 ** count, 1 - beta2 ** count
        corrected = exp_avgs[at] / first
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * count * beta2 ** count / second
        if length > 5.0:
            over = (length - 4) * (length - 2) * longest
            rectified = (over / ((longest - 4) * (longest - 2) * length)) ** 0.5
            root = exp_avg_sqs[at].sqrt().add_(eps)
            corrected = corrected * (second ** 0.5 / root * rectified)
        p.add_(corrected, alpha=-lr)
"""

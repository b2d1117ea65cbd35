"""Networks that carry their state: outputs of one step are inputs of the next."""

from __future__ import annotations

from typing import Any, Dict

import numpy

from .backends import Arrays, Refused


class Carry:
    """The inputs of each step; ``carry`` is output index to input index, ``inputs`` are ``[steps, *shape]`` each.

    ``steps`` are as many as the inputs that are not carried have. Without ``carry`` each sample stands alone.
    """

    def __init__(self, carry: Dict[int, int], inputs: Arrays) -> None:
        for given, taken in carry.items():
            if not 0 <= taken < len(inputs):
                last = len(inputs) - 1
                raise Refused("output %d is fed back to input %d; there are inputs 0 to %d" % (given, taken, last))
        if len(set(carry.values())) < len(carry):
            raise Refused("two outputs are to be fed back to one input: %r" % (carry,))
        own = [len(array) for number, array in enumerate(inputs) if number not in carry.values()]
        if inputs and not own:
            raise Refused("every input is fed from an output: nothing says how many steps there are")
        self.carry, self.inputs = carry, inputs
        self.steps = own[0] if own else 0
        self.state = {number: inputs[number][0] for number in carry.values()}

    def sample(self, index: int) -> Arrays:
        """The inputs of one step."""
        numbered = enumerate(self.inputs)
        return [self.state[number] if number in self.state else array[index] for number, array in numbered]

    def take(self, outputs: Arrays) -> None:
        """Keep what the next step is fed. Raises :class:`Refused` for an output that the input can't take."""
        for given, taken in self.carry.items():
            if not 0 <= given < len(outputs):
                raise Refused("output %d is to be fed back; the model gives %d" % (given, len(outputs)))
            self.state[taken] = _fed_back(outputs[given], self.state[taken], given, taken)


def _fed_back(output: Any, state: Any, given: int, taken: int) -> Any:
    """The output in the input's shape and type: runtimes may add or drop axes of one."""
    output = numpy.asarray(output)
    if output.size != state.size or output.dtype.kind != state.dtype.kind:
        ours, theirs = (_words(array) for array in (output, state))
        raise Refused("output %d is %s; input %d, which it is fed back to, takes %s" % (given, ours, taken, theirs))
    return output.reshape(state.shape).astype(state.dtype)


def _words(array: Any) -> str:
    return "%s%s" % (array.dtype, list(array.shape))

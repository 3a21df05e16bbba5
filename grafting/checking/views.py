"""Views of map values are used only while they are valid: until an element of their map is stored or deleted.

A view is an address. Deleting an element frees its place, and storing one may fill that place anew, so afterwards the
view would show something else. The error names both places: where the view is used and what made it invalid.

The walk follows every path. Its state is the set of views that *may* be invalid, each with the place that did it;
where paths meet, the sets are united. A loop is walked once: nothing inside it can make an outer view valid again, so
an outer view that is invalid when the next round begins was used too late wherever the round uses it. A view that is
bound in the round itself is bound anew in the next.

    let row = rows[k] else { return deliver }
    delete rows[k]
    return answer row                          // error: `row` is no longer valid; made so by `delete rows[k]`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from grafting import typed
from grafting.checking import walk
from grafting.checking.effects import Effects, Origin
from grafting.checking.reporter import Reporter
from grafting.diagnostics import Label

State = dict[typed.ViewVariable, Origin]  # the views that may be invalid, and why


@dataclass(slots=True)
class Round:
    """A loop being walked: views bound in it, uses of the others, and the states in which rounds and loop end."""

    bound: set[typed.ViewVariable] = field(default_factory=set)
    uses: list[walk.Use] = field(default_factory=list)
    continued: list[State] = field(default_factory=list)
    broken: list[State] = field(default_factory=list)


def check_views(report: Reporter, body: typed.Block, known: Mapping[typed.Function, Effects]) -> None:
    """Report every use of a view that may be invalid; the effects of all functions called are `known`."""
    _Walk(report, known).block(body, {})


class _Walk:
    def __init__(self, report: Reporter, known: Mapping[typed.Function, Effects]) -> None:
        self._report = report
        self._known = known
        self._maps: dict[typed.ViewVariable, typed.MapRef] = {}
        self._rounds: list[Round] = []

    # --- paths -------------------------------------------------------------------------------------------------------

    def block(self, body: typed.Block, state: State | None) -> State | None:
        """Walk a block; `state` is None where no path leads."""
        for stmt in body.statements:
            if state is None:
                return None
            state = self._statement(stmt, state)
        return state

    def _statement(self, stmt: typed.Stmt, state: State) -> State | None:
        match stmt:
            case typed.For(start=start, end=end):
                self._events(walk.expressions(start, end), state)
                return self._loop(stmt.body, None, state)
            case typed.While(condition=condition):
                return self._loop(stmt.body, condition, state)
            case typed.Bind():
                return self._bind(stmt, state)
        self._events(walk.operand_events(stmt), state)
        match stmt:
            case typed.Alias(variable=variable, place=place):
                self._alias(variable, place, state)
            case typed.MapStore(map=map_) | typed.Delete(map=map_):
                self._invalidate(map_, Origin(stmt.span, stmt.span), state)
            case typed.ReturnValue() | typed.ReturnVerdict() | typed.ReturnAnswer():
                return None
            case typed.Break():
                self._rounds[-1].broken.append(state)
                return None
            case typed.Continue():
                self._rounds[-1].continued.append(state)
                return None
            case typed.If(then=then, otherwise=otherwise):
                return _united([self.block(then, dict(state)), self.block(otherwise, state)])
            case typed.Match(arms=arms):
                return _united([self.block(arm.body, dict(state)) for arm in arms])
        branches = walk.inner_blocks(stmt)  # the `else` of what may fail
        return _united([state, *(self.block(branch, dict(state)) for branch in branches)])

    def _bind(self, stmt: typed.Bind, state: State) -> State | None:
        self._events(walk.absent_events(stmt.value), state)
        missing = self.block(stmt.otherwise, dict(state))
        if missing is not None:
            self._events(walk.expressions(stmt.default), missing)
        if isinstance(stmt.variable, typed.ViewVariable):
            match stmt.value:
                case typed.Lookup(map=map_):
                    self._declare(stmt.variable, map_, state)
                case typed.CheckedIndex(place=place):
                    self._alias(stmt.variable, place, state)
        return _united([state, missing])

    def _loop(self, body: typed.Block, condition: typed.Expr | None, state: State) -> State:
        before = dict(state)
        round_ = Round()
        self._rounds.append(round_)
        self._events(walk.expressions(condition), state)
        tested = dict(state)
        end = self.block(body, state)
        self._rounds.pop()
        again = _united([end, *round_.continued])
        if again is not None:
            for use in round_.uses:
                if use.view in again:
                    self._complain(use, again[use.view])
        after = _united([before, tested, again, *round_.broken])
        assert after is not None
        return after

    # --- views -------------------------------------------------------------------------------------------------------

    def _declare(self, view: typed.ViewVariable, map_: typed.MapRef, state: State) -> None:
        self._maps[view] = map_
        state.pop(view, None)
        if self._rounds:
            self._rounds[-1].bound.add(view)

    def _alias(self, view: typed.ViewVariable, place: typed.Place, state: State) -> None:
        if isinstance(place.root, typed.ViewVariable) and place.root in self._maps:
            self._declare(view, self._maps[place.root], state)

    def _events(self, events: Iterable[walk.Event], state: State) -> None:
        for event in events:
            match event:
                case walk.Use():
                    self._use(event, state)
                case walk.Called(function=function, span=span):
                    for map_, origin in self._known[function].stores.items():
                        self._invalidate(map_, Origin(span, origin.inside), state)

    def _use(self, use: walk.Use, state: State) -> None:
        if use.view not in self._maps:
            return
        if use.view in state:
            self._complain(use, state[use.view])
            return
        for round_ in reversed(self._rounds):
            if use.view in round_.bound:
                break
            round_.uses.append(use)

    def _invalidate(self, map_: typed.MapRef, origin: Origin, state: State) -> None:
        for view, of in self._maps.items():
            if of is map_:
                state.setdefault(view, origin)

    def _complain(self, use: walk.Use, origin: Origin) -> None:
        map_ = self._maps[use.view]
        labels = [Label(use.view.span, "bound here"), Label(origin.span, f"an element of `{map_.name}` changes here")]
        if origin.inside != origin.span:
            labels.append(Label(origin.inside, "in the function"))
        self._report.error(
            "G0310", f"`{use.view.name}` is no longer valid here", use.span, f"shows an element of `{map_.name}`",
            labels=tuple(labels),
            notes=("a view of a map's value is valid until the next `delete` or assignment on that map",),
            helps=("copy what is needed with `let` before, or look the key up again",),
        )  # fmt: skip


def _united(states: Iterable[State | None]) -> State | None:
    """Return the state where paths meet; None if none of them leads there."""
    reached = [state for state in states if state is not None]
    if not reached:
        return None
    first, *others = reached
    for other in others:
        for view, origin in other.items():
            first.setdefault(view, origin)
    return first

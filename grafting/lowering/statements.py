"""Statements: control flow, the maps, and what a handler asks of the kernel.

Loops keep their bound where a bytecode verifier can see it. `for i in a..b max M` compares its counter with one number
that is at most M, computed before the loop, so the interval of the counter follows from the comparison at the loop's
head; the counter in the body is the compared value. `while` counts its rounds in a variable of its own.
"""

from __future__ import annotations

from grafting import hooks, typed
from grafting.checking.facts import memory_key
from grafting.diagnostics import InternalError
from grafting.lowering.expressions import address, arithmetic, assign, branch, load, number, scalar, store
from grafting.lowering.frame import Address, Frame, Inlining, Loop, word
from grafting.lowering.ir import Flag, Label, Number, Pointer, constant
from grafting.lowering.match import match
from grafting.lowering.memory import InMemory, InMessage, fill_zero, key_memory, lookup, payload, present
from grafting.types import ArrayType, BoolType, IntType, Scalar, StructType, Type, register_type


def block(f: Frame, body: typed.Block) -> None:
    """Lower statements up to the first that leaves the block."""
    with f.scope(body.span):
        for stmt in body.statements:
            if not f.ir.open:
                return
            statement(f, stmt)


def statement(f: Frame, stmt: typed.Stmt) -> None:
    """Lower one statement."""
    f.ir.at(stmt.span)
    match stmt:
        case typed.Declare():
            _declare(f, stmt)
        case typed.Bind():
            _bind(f, stmt)
        case typed.Alias(variable, place):
            f.views[variable] = at = address(f, place)
            f.loads.bound(variable)
            fixed = f.names.is_fixed(place)
            scope, maker = f.rest_of_block(stmt.span), f.part(stmt.span)
            f.names.view(variable, at.base, at.offset, scope, maker, fixed=fixed)
        case typed.Write():
            _write(f, stmt)
        case typed.WriteAbsent():
            _write_absent(f, stmt)
        case typed.MapStore():
            _map_store(f, stmt)
        case typed.MapUpdate():
            _map_update(f, stmt)
        case typed.Delete():
            _delete(f, stmt)
        case typed.If(condition, then, otherwise):
            _if(f, condition, then, otherwise)
        case typed.For():
            _for(f, stmt)
        case typed.While():
            _while(f, stmt)
        case typed.Match():
            match(f, stmt, block)
        case typed.Break():
            f.ir.jump(f.loops[-1].end)
        case typed.Continue():
            f.ir.jump(f.loops[-1].again)
        case typed.ReturnValue(value):
            _return_value(f, value)
        case typed.ReturnVerdict(code):
            f.ir.ret(constant(code))
        case typed.ReturnAnswer():
            _answer(f, stmt)
        case typed.Send():
            _send(f, stmt)
        case typed.ArmTimer():
            _arm(f, stmt)
        case typed.Release():
            _release(f, stmt)
        case typed.CallStatus(helper, arguments):
            operands = [word(number(f, argument)) for argument in arguments]
            f.ir.at(stmt.span)
            f.call(hooks.HELPERS[helper].name, *operands)
        case typed.Evaluate(function, arguments):
            f.inline(f, function, arguments)


# --- locals and places -----------------------------------------------------------------------------------------------


def _declare(f: Frame, stmt: typed.Declare) -> None:
    variable = stmt.variable
    f.names.variable(variable, f.local(variable), f.rest_of_block(stmt.span), f.part(stmt.span))
    if stmt.value is not None:
        value = scalar(f, stmt.value)
        f.ir.at(stmt.span)
        assign(f, variable, value)
        return
    if not isinstance(variable.type, ArrayType):
        raise InternalError(f"the scalar {variable.name} is declared without a value")
    slot = f.local(variable)
    if not stmt.elements:
        fill_zero(f, slot, variable.type.size)
        f.loads.memory_changed()
        return
    places = _scalars(variable.type, 0)
    for (offset, type_), expr in zip(places, stmt.elements, strict=True):
        value = scalar(f, expr)
        f.ir.at(stmt.span)
        store(f, Address(slot, offset), value, type_)
    f.loads.memory_changed()


def _scalars(type_: Type, offset: int) -> list[tuple[int, Scalar]]:
    """Return where the scalars of a local array are, in order."""
    match type_:
        case ArrayType(element, length):
            return [part for i in range(length) for part in _scalars(element, offset + i * element.size)]
        case _:
            return [(offset, _scalar_type(type_))]


def _bind(f: Frame, stmt: typed.Bind) -> None:
    absent, end = f.ir.label("absent"), f.ir.label("bound")
    found = present(f, stmt.value, absent)
    scope, maker = f.rest_of_block(stmt.span), f.names.part(stmt.span.start, stmt.otherwise.span.start)
    if isinstance(stmt.variable, typed.ViewVariable):
        f.views[stmt.variable] = found
        f.loads.bound(stmt.variable)
        fixed = isinstance(stmt.value, typed.BodyView)
        f.names.view(stmt.variable, found.base, found.offset, scope, maker, fixed=fixed)
    else:
        f.names.variable(stmt.variable, f.local(stmt.variable), scope, maker)
        f.ir.at(stmt.value.span)
        assign(f, stmt.variable, load(f, found, _scalar_type(stmt.variable.type)))
    f.ir.jump(end)
    f.ir.begin(absent)
    block(f, stmt.otherwise)
    if stmt.default is not None and isinstance(stmt.variable, typed.Variable) and f.ir.open:
        value = scalar(f, stmt.default)
        f.ir.at(stmt.span)
        assign(f, stmt.variable, value)
        f.names.assigned(stmt.variable, stmt.default.span)
    f.ir.begin(end)


def _scalar_type(type_: Type) -> Scalar:
    if isinstance(type_, ArrayType | StructType):
        raise InternalError(f"{type_} is not a scalar")
    return type_


def _write(f: Frame, stmt: typed.Write) -> None:
    """The place is evaluated first, and once, also where a compound assignment reads it."""
    place, type_ = stmt.place, _scalar_type(stmt.place.type)
    if isinstance(place.root, typed.Variable) and not place.steps:
        value = scalar(f, stmt.value)
        f.ir.at(stmt.span)
        assign(f, place.root, value)
        f.names.assigned(place.root, stmt.span)
        return
    at = address(f, place)
    match stmt.value:
        case typed.Arithmetic(op, typed.Read(read), right, result) if read == place:
            value = _combine(f, at, op, right, result, stmt)
        case _:
            value = scalar(f, stmt.value)
    f.ir.at(stmt.span)
    store(f, at, value, type_)
    f.loads.memory_changed()
    key = memory_key(place)
    if key is not None:
        f.loads.put(key, value)


def _combine(f: Frame, at: Address, op: str, right: typed.Expr, type_: IntType, stmt: typed.Stmt) -> Number:
    """Return `what is at the address, op right`."""
    old = Number(load(f, at, type_))
    return arithmetic(f, op, old, right, type_, stmt)


def _integer(type_: Type) -> IntType:
    register = register_type(_scalar_type(type_))
    if not isinstance(register, IntType):
        raise InternalError(f"arithmetic on {type_}")
    return register


def _write_absent(f: Frame, stmt: typed.WriteAbsent) -> None:
    absent, end = f.ir.label("absent"), f.ir.label("written")
    at = present(f, stmt.target, absent)
    type_ = _scalar_type(stmt.target.type)
    value = _combine(f, at, stmt.op, stmt.value, _integer(type_), stmt) if stmt.op else scalar(f, stmt.value)
    f.ir.at(stmt.span)
    store(f, at, value, type_)
    f.loads.memory_changed()
    _otherwise(f, absent, stmt.otherwise, end)


def _otherwise(f: Frame, failed: Label, body: typed.Block, end: Label) -> None:
    """Close the good path, lower the bad one, and meet at `end`."""
    f.ir.jump(end)
    f.ir.begin(failed)
    block(f, body)
    f.ir.begin(end)


# --- maps ------------------------------------------------------------------------------------------------------------


def _map_store(f: Frame, stmt: typed.MapStore) -> None:
    refused, end = f.ir.label("refused"), f.ir.label("stored")
    key = scalar(f, stmt.key)
    match stmt.value:
        case typed.StructValue() | typed.PlaceValue() as whole:
            with payload(f, whole, refused) as body:
                assert isinstance(body, InMemory)
                status = _update(f, stmt, key, f.pointer(body.at), refused)
        case typed.BodyRange() | typed.NoBody():
            raise InternalError("a part of a message is no map value")
        case expr:
            value = scalar(f, expr)
            with f.scratch(stmt.map.spec.value_size) as memory:
                store(f, Address(memory), value, _scalar_type(stmt.map.value))
                status = _update(f, stmt, key, memory, refused)
    good = f.ir.label("good")
    f.ir.branch(f.failed(status), refused, good)
    f.ir.begin(good)
    _otherwise(f, refused, stmt.otherwise, end)


def _update(f: Frame, stmt: typed.MapStore, key: Number | Flag, value: Pointer, refused: Label) -> Number:
    f.ir.at(stmt.span)
    with key_memory(f, stmt.map, key, refused) as place:
        return f.call("map_update_elem", f"ptr {f.symbols[stmt.map]}", f"ptr {place}", f"ptr {value}", word(0))


def _map_update(f: Frame, stmt: typed.MapUpdate) -> None:
    """Key and value are evaluated before the lookup: a function called there may change the map."""
    absent, end = f.ir.label("absent"), f.ir.label("updated")
    type_ = _scalar_type(stmt.map.value)
    key = scalar(f, stmt.key)
    operand = typed.Variable("", stmt.value.type, False, stmt.value.span)
    assign(f, operand, scalar(f, stmt.value))
    at = lookup(f, stmt.map, key, absent, stmt)
    right = typed.Read(typed.Place(operand, (), stmt.value.span), stmt.value.type, stmt.value.span)
    value = _combine(f, at, stmt.op, right, _integer(type_), stmt)
    store(f, at, value, type_)
    f.loads.memory_changed()
    _otherwise(f, absent, stmt.otherwise, end)


def _delete(f: Frame, stmt: typed.Delete) -> None:
    end = f.ir.label("deleted")
    key = scalar(f, stmt.key)
    f.ir.at(stmt.span)
    with key_memory(f, stmt.map, key, end) as place:
        f.call("map_delete_elem", f"ptr {f.symbols[stmt.map]}", f"ptr {place}")
    f.ir.begin(end)


# --- control ---------------------------------------------------------------------------------------------------------


def _if(f: Frame, condition: typed.Expr, then: typed.Block, otherwise: typed.Block) -> None:
    yes, end = f.ir.label("then"), f.ir.label("endif")
    no = f.ir.label("else") if otherwise.statements else end
    branch(f, condition, yes, no)
    f.ir.begin(yes)
    block(f, then)
    f.ir.jump(end)
    if no is not end:
        f.ir.begin(no)
        block(f, otherwise)
    f.ir.begin(end)


def _for(f: Frame, stmt: typed.For) -> None:
    """One comparison a round, against min(end, cap); `counter + 1` cannot wrap, being at most the bound."""
    head, body, again, end = (f.ir.label(hint) for hint in ("for", "body", "next", "done"))
    start = number(f, stmt.start)
    last = number(f, stmt.end)
    f.ir.at(stmt.span)
    assign(f, stmt.counter, start)
    bound = _at_most(f, last, stmt.cap) if stmt.cap is not None else last
    slot = f.local(stmt.counter)
    begin, inner = stmt.span.start, stmt.body.span
    f.names.variable(stmt.counter, slot, f.names.part(begin, inner.end), f.names.part(begin, inner.start))
    f.loads.looping(stmt)
    f.ir.begin(head)
    counter = f.ir.number(f"load i64, ptr {slot}")
    f.ir.branch(f.ir.flag(f"icmp ult i64 {counter}, {bound}"), body, end)
    f.ir.begin(body)
    _round(f, stmt.body, Loop(again, end))
    f.ir.begin(again)
    f.ir.at(stmt.span)
    counter = f.ir.number(f"load i64, ptr {slot}")
    f.ir.effect(f"store i64 {f.ir.number(f'add i64 {counter}, 1')}, ptr {slot}")
    f.ir.jump(head)
    f.ir.begin(end)


def _at_most(f: Frame, value: Number, cap: int) -> Number:
    above, end = f.ir.label("above"), f.ir.label("bound")
    here = f.ir.here
    f.ir.branch(f.ir.flag(f"icmp ugt i64 {value}, {constant(cap)}"), above, end)
    f.ir.begin(above)
    f.ir.begin(end)
    return Number(f.ir.phi("i64", (value, here), (constant(cap), above)))


def _while(f: Frame, stmt: typed.While) -> None:
    head, test, body, again, end = (f.ir.label(hint) for hint in ("while", "test", "body", "next", "done"))
    rounds = f.ir.alloca("i64")
    f.ir.effect(f"store i64 0, ptr {rounds}")
    f.loads.looping(stmt)
    f.ir.begin(head)
    count = f.ir.number(f"load i64, ptr {rounds}")
    f.ir.branch(f.ir.flag(f"icmp ult i64 {count}, {constant(stmt.limit)}"), test, end)
    f.ir.begin(test)
    branch(f, stmt.condition, body, end)
    f.ir.begin(body)
    _round(f, stmt.body, Loop(again, end))
    f.ir.begin(again)
    f.ir.at(stmt.span)
    count = f.ir.number(f"load i64, ptr {rounds}")
    f.ir.effect(f"store i64 {f.ir.number(f'add i64 {count}, 1')}, ptr {rounds}")
    f.ir.jump(head)
    f.ir.begin(end)


def _round(f: Frame, body: typed.Block, loop: Loop) -> None:
    f.loops.append(loop)
    block(f, body)
    f.loops.pop()


# --- functions -------------------------------------------------------------------------------------------------------


def inline(f: Frame, function: typed.Function, arguments: tuple[typed.Expr, ...]) -> Pointer | None:
    """Lower a call in place; arguments are evaluated once, from left to right. Return the slot of the result."""
    values = [scalar(f, argument) for argument in arguments]
    for parameter, argument, value in zip(function.params, arguments, values, strict=True):
        assign(f, parameter, value)
        f.names.variable(parameter, f.local(parameter), f.part(function.body.span), f.part(argument.span))
    end = f.ir.label("returned")
    result = None
    if function.result is not None:
        result = f.local(typed.Variable("", function.result, True, function.span))
    f.inlinings.append(Inlining(end, result))
    outer, f.loops = f.loops, []
    block(f, function.body)
    f.loops = outer
    f.inlinings.pop()
    f.ir.begin(end)
    return result


def _return_value(f: Frame, value: typed.Expr | None) -> None:
    inlining = f.inlinings[-1]
    if value is not None:
        if inlining.result is None:
            raise InternalError("a function without a result returns a value")
        result = scalar(f, value)
        kind = "i1" if isinstance(value.type, BoolType) else "i64"
        f.ir.effect(f"store {kind} {result}, ptr {inlining.result}")
    f.ir.jump(inlining.end)


# --- the kernel ------------------------------------------------------------------------------------------------------


def _send(f: Frame, stmt: typed.Send) -> None:
    refused, end = f.ir.label("refused"), f.ir.label("sent")
    options = stmt.deadline is not None or bool(stmt.grants) or stmt.promise is not None
    room = hooks.SEND_OPTIONS_BYTES if options else 0
    value = stmt.payload
    if options and isinstance(value, typed.BodyRange):
        raise InternalError("a send with options forwards a part of the message")
    with payload(f, value, refused, room=room, least=stmt.op.request_min, most=stmt.op.request_max) as body:
        head = (word(stmt.slot), word(stmt.op.number))
        tag = number(f, stmt.tag)
        f.ir.at(stmt.span)
        match body:
            case InMemory() if room:
                status = _send_with(f, stmt, body, head, tag)
            case InMemory(at, length):
                status = f.call("send", *head, word(tag), f"ptr {f.pointer(at)}", word(length))
            case InMessage(offset, length_):
                status = f.call("send_from_body", *head, word(tag), word(offset), word(length_))
    good = f.ir.label("good")
    f.ir.branch(f.failed(status), refused, good)
    f.ir.begin(good)
    _otherwise(f, refused, stmt.otherwise, end)


def _send_with(f: Frame, stmt: typed.Send, body: InMemory, head: tuple[str, str], tag: Number) -> Number:
    """Write the options record in the room before the body."""
    record = body.at.base
    deadline = constant(0) if stmt.deadline is None else number(f, stmt.deadline)
    grants = [_grant(f, grant) for grant in stmt.grants]
    f.ir.at(stmt.span)
    f.ir.effect(f"store i64 {deadline}, ptr {record}, align 8")
    words = [*grants, *["0"] * (4 - len(grants)), str(len(grants)), str(_promise(stmt))]
    for index, value in enumerate(words):
        f.ir.effect(f"store i32 {value}, ptr {f.ir.offset(record, 8 + 4 * index)}, align 4")
    return f.call("send_with", *head, word(tag), f"ptr {record}", word(hooks.SEND_OPTIONS_BYTES + body.length))


def _promise(stmt: typed.Send) -> int:
    slot = hooks.NO_SLOT if stmt.promise is None else stmt.promise
    return slot - (1 << 32) if slot >> 31 else slot


def _grant(f: Frame, grant: int | typed.Expr) -> str:
    """Return the i32 that names a capability: a slot, or one that came with the message."""
    if isinstance(grant, int):
        return str(grant)
    index = number(f, grant)
    f.ir.at(grant.span)
    narrow = f.ir.narrow(f"trunc i64 {index} to i32")
    return f.ir.narrow(f"or i32 {narrow}, {hooks.CAP_OF_MESSAGE - (1 << 32)}")


def _answer(f: Frame, stmt: typed.ReturnAnswer) -> None:
    refused, good = f.ir.label("refused"), f.ir.label("answered")
    status = number(f, stmt.status)
    with payload(f, stmt.payload, refused) as body:
        f.ir.at(stmt.span)
        match body:
            case InMemory(at, length):
                result = f.call("answer", word(status), f"ptr {f.pointer(at)}", word(length))
            case InMessage(offset, length_):
                result = f.call("answer_from_body", word(status), word(offset), word(length_))
    f.ir.branch(f.failed(result), refused, good)
    f.ir.begin(good)
    f.ir.ret(constant(hooks.ANSWERED))
    f.ir.begin(refused)
    f.ir.ret(constant(hooks.PASS))


def _arm(f: Frame, stmt: typed.ArmTimer) -> None:
    refused, end = f.ir.label("refused"), f.ir.label("armed")
    timer, delay = number(f, stmt.timer), number(f, stmt.delay)
    f.ir.at(stmt.span)
    status = f.call("timer_arm", word(timer), word(delay))
    good = f.ir.label("good")
    f.ir.branch(f.failed(status), refused, good)
    f.ir.begin(good)
    _otherwise(f, refused, stmt.otherwise, end)


def _release(f: Frame, stmt: typed.Release) -> None:
    refused, end = f.ir.label("refused"), f.ir.label("released")
    operands = word(number(f, stmt.tag)), word(number(f, stmt.status))
    f.ir.at(stmt.span)
    status = f.call("release", *operands)
    if not stmt.otherwise.statements:
        return
    good = f.ir.label("good")
    f.ir.branch(f.failed(status), refused, good)
    f.ir.begin(good)
    _otherwise(f, refused, stmt.otherwise, end)

"""Bodies that look safe and are not: what was known of a value, or of a view, no longer holds where it is used."""

from __future__ import annotations

import pytest
from checking import codes

VIEW = "let v = rows[msg.tag] else { return deliver }\n"

INDICES = [
    "let mut t = msg.tag\nif t >= 16 { return deliver }\nt = hops\nhops = ring[t]",
    "let t = msg.tag\nif t < 16 { hops = 1 } else { hops = ring[t] }",
    "let mut t = 0\nwhile ready limit 9 { hops = ring[t] t += 1 }",
    "let mut t = 15\nfor i in 0..3 { hops = ring[t] t -= 8 }",
    "let mut t = msg.tag\nif t < 16 { for i in 0..2 { hops = ring[t] t = msg.now } }",
    "let mut t = msg.tag\nif t < 16 { while ready limit 2 { if hops == 1 { t = 99 break } } hops = ring[t] }",
    "let mut a = [0; 4]\na[0] = 3\na[msg.tag % 4] = 100\nhops = ring[a[0]]",
    "let mut a = [0; 4]\nif a[1] < 16 { a[msg.tag % 4] = 100 hops = ring[a[1]] }",
    VIEW + "let w = rows[hops] else { return deliver }\nif v.count < 16 { w.count = 99 hops = ring[v.count] }",
    VIEW + "if v.count < 16 { wanted[1] = 2 else {} hops = ring[v.count] }",
    "if row.count < 16 { row.count += 1 hops = ring[row.count] }",
    "if hops < 16 { send disk.read(1) else { hops = 99 } ready = ring[hops] == 1 }",
    "let s = msg.status\nif s > -3 && s < 3 { hops = ring[s as u64] }",
    "let s = msg.status\nif s <= 15 { hops = ring[s as u8] }",
    "let x = msg.tag as u8\nhops = ring[x >> 3]",
    "let x = msg.tag as i8\nhops = ring[(x / 16) as u64]",
    "let x = msg.tag as i64\nhops = ring[(x % 16) as u64]",
    "let x = msg.tag\nlet y = hops\nif x < 16 && y <= x + 1 { hops = ring[y] }",
    "let x = msg.tag as u8\nhops = ring[(x + 1) & 16]",
    "let x = msg.tag as u8\nlet n = msg.now\nhops = ring[x >> n]",
    "let x = msg.tag & 15\nhops = ring[x | 16]",
    "let x = msg.tag & 15\nhops = ring[x ^ 31]",
    "let x = msg.tag & 15\nhops = ring[x << 64 >> 64 << 1]",
    "let x = msg.tag & 15\nhops = ring[x << 65]",
    "let x = msg.tag & 15\nhops = ring[-x]",
    "let x = msg.tag & 15\nhops = ring[~x]",
    "let x = msg.tag & 15\nhops = ring[x / hops * 2]",
    "let x = msg.tag & 15\nhops = ring[x * 1152921504606846977]",
    "let z = 0\nhops = ring[msg.tag % z]",
    "let mut x = 3\nmatch msg.tag { 0 => { x = 1 } 1 => { x = 16 } _ => {} }\nhops = ring[x]",
    "match msg.tag { 0..=16 => { hops = ring[msg.tag] } _ => {} }",
    "let mut x = 0\nfor i in 0..17 { x = i }\nhops = ring[x]",
    "let mut x = 1\nfor i in 0..4 { x = x * 2 }\nhops = ring[x]",
    "let x = ring[msg.tag] else { 3 }\nhops = ring[msg.tag + 1]",
    "let t = msg.tag\nlet x = ring[t] else { 3 }\nhops = ring[t]",
    "let t = msg.tag\nring[t] = 3 else {}\nhops = ring[t]",
    "let t = msg.tag\nif !(t < 16 && ready) { hops = ring[t] }",
    "let t = msg.tag\nif !(t >= 16 && ready) { hops = ring[t] }",
    "let t = msg.tag\nif t != 16 { hops = ring[t] }",
    "let t = msg.tag\nif t as u8 < 16 { hops = ring[t] }",
    "let t = msg.tag\nif (t as i64) < 16 { hops = ring[t] }",
    "hops = TABLE[4]",
    "hops = TABLE[msg.tag & 4]",
    "let mut b = false\nlet t = msg.tag\nb = t < 16\nready = b\nif ready || b { hops = ring[t] }",
    "let k = msg.tag as u32 as Kind\nhops = ring[(k as u64) + 15]",
]

VIEWS = [  # each after the view is bound
    "let w = rows[hops] else { return deliver }\nrows[3] = Row { count: 1 } else {}\nhops = w.count",
    "rows[3] = Row { count: 1 } else { hops = v.count }",
    "rows[3] = v else {}\nhops = v.count",
    "drop_row(v.count)\nhops = v.count",
    "while ready limit 3 { if hops == 2 { delete rows[1] break } }\nhops = v.count",
    "for i in 0..3 { for j in 0..3 { hops = v.count } drop_row(i) }",
    "for i in 0..3 { if v.count == 1 { continue } delete rows[i] }",
    "while v.count < 3 limit 3 { delete rows[1] }",
    "match hops { 0 => { delete rows[1] } _ => {} }\nhops = v.count",
    "let p = v.parts[hops] else { return deliver }\ndelete rows[1]\nhops = p.a as u64",
    "delete rows[1]\nsend disk.write(v) else { return deliver }",
    "delete rows[1]\nrows[2] = v else {}",
    "let x = wanted[9] else { delete rows[1] 3 }\nhops = v.count",
    "send disk.read(1) else { delete rows[1] }\nhops = v.count",
]


@pytest.mark.parametrize("body", INDICES)
def test_what_was_known_of_an_index_is_not_used_where_it_no_longer_holds(body: str) -> None:
    assert codes(body) == ["G0301"]


@pytest.mark.parametrize("body", VIEWS)
def test_a_view_is_not_used_where_some_path_has_changed_its_map(body: str) -> None:
    assert codes(VIEW + body) == ["G0310"]

"""Collectives and traffic of compiled programs, from their text."""

import numpy as np
import pytest

from flexlam_jax.planning.hlo import by_kind, collectives
from flexlam_jax.planning.traffic import memory_traffic

PROGRAM = """
HloModule jit_step, is_scheduled=true

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add = f32[] add(%a, %b)
}

%slice_layer (p0: f32[5,8,4], p1: s32[]) -> f32[8,4] {
  %p0 = f32[5,8,4]{2,1,0} parameter(0)
  %p1 = s32[] parameter(1)
  ROOT %ds = f32[8,4]{1,0} dynamic-slice(%p0, %p1), dynamic_slice_sizes={1,8,4}
}

%inner_cond (q: (s32[], f32[8,4])) -> pred[] {
  %q = (s32[], f32[8,4]) parameter(0)
  %i = s32[] get-tuple-element(%q), index=0
  %bound = s32[]{:T(128)} constant(3)
  ROOT %less = pred[] compare(%i, %bound), direction=LT
}

%inner (q.1: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %q.1 = (s32[], f32[8,4]) parameter(0)
  %x.1 = f32[8,4]{1,0} get-tuple-element(%q.1), index=1
  %permute = (f32[8,4]{1,0}, f32[8,4]{1,0}, u32[]{:S(2)}) collective-permute-start(%x.1), source_target_pairs={{0,1},{1,0}}
  %done = f32[8,4]{1,0} collective-permute-done(%permute)
  ROOT %t.1 = (s32[], f32[8,4]) tuple(%i, %done)
}

%cond (q.2: (s32[], f32[8,4])) -> pred[] {
  %q.2 = (s32[], f32[8,4]) parameter(0)
  ROOT %c = pred[] custom-call(%q.2)
}

%body (r: (s32[], f32[5,8,4], f32[8,4])) -> (s32[], f32[5,8,4], f32[8,4]) {
  %r = (s32[], f32[5,8,4], f32[8,4]) parameter(0)
  %n = s32[] get-tuple-element(%r), index=0
  %stack = f32[5,8,4]{2,1,0} get-tuple-element(%r), index=1
  %layer = f32[8,4]{1,0} fusion(%stack, %n), kind=kLoop, calls=%slice_layer
  %gathered = bf16[16,4]{1,0} all-gather(%layer), replica_groups=[4,2]<=[2,4]T(1,0), dimensions={0}
  %loop.1 = (s32[], f32[8,4]) while(%tuple.9), condition=%inner_cond, body=%inner
  ROOT %t = (s32[], f32[5,8,4], f32[8,4]) tuple(%n, %stack, %layer)
}

ENTRY %main (x: f32[8,4]) -> f32[8,4] {
  %x = f32[8,4]{1,0} parameter(0)
  %w = f32[5,8,4]{2,1,0} parameter(1)
  %alone = f32[8,4]{1,0} all-reduce(%x), replica_groups={{0},{1},{2},{3},{4},{5},{6},{7}}, to_apply=%sum
  %loop = (s32[], f32[5,8,4], f32[8,4]) while(%tuple.1), condition=%cond, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %both = (f32[8,4]{1,0}, f32[]{:T(128)S(1)}) all-reduce(%x, %y), replica_groups=mesh['a'=2,'b'=4] {'b'}, to_apply=%sum
  %scattered = f32[2,4]{1,0} reduce-scatter(%x), replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}, to_apply=%sum
  ROOT %out = f32[8,4]{1,0} copy(%x)
}
"""


def test_counts_and_bytes():
    assert by_kind(collectives(PROGRAM, 8)) == {
        "all-gather": {"count": 5, "bytes": 5 * 16 * 4 * 2, "types": {"bf16": 5 * 16 * 4 * 2}},
        "all-reduce": {"count": 1, "bytes": 8 * 4 * 4 + 4, "types": {"f32": 8 * 4 * 4 + 4}},
        "reduce-scatter": {"count": 1, "bytes": 8 * 4 * 4, "types": {"f32": 8 * 4 * 4}},
        # A loop of three inside a loop of five.
        "collective-permute": {
            "count": 15,
            "bytes": 15 * 8 * 4 * 4,
            "types": {"f32": 15 * 8 * 4 * 4},
        },
    }


def test_wire_bytes_of_rings():
    sent = {c.kind: c.wire_bytes for c in collectives(PROGRAM, 8)}
    assert sent == {
        "all-gather": 64,
        "all-reduce": 2 * 132 * 3 / 4,
        "reduce-scatter": 96,
        "collective-permute": 128,
    }


def test_groups_in_every_notation():
    groups = {c.kind: c.groups.tolist() for c in collectives(PROGRAM, 8)}
    rows = [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert groups["all-reduce"] == groups["reduce-scatter"] == rows
    assert groups["all-gather"] == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert groups["collective-permute"] == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("mesh['a'=2,'b'=4] {'a'}", [[0, 4], [1, 5], [2, 6], [3, 7]]),
        ("mesh['a'=2,'b'=4] {'a','b'}", [[0, 1, 2, 3, 4, 5, 6, 7]]),
        ("mesh['a'=8] {'a':(1)2}", [[0, 4], [1, 5], [2, 6], [3, 7]]),
        ("mesh['a'=8] {'a':(4)2}", [[0, 1], [2, 3], [4, 5], [6, 7]]),
        ("mesh['a'=4,'b'=2, device_ids=([2,4]T(1,0))] {'b'}", [[0, 4], [1, 5], [2, 6], [3, 7]]),
        ("mesh['a'=2,'b'=2], device_ids=(3,2,1,0) {'b'}", [[3, 2], [1, 0]]),
        ("[2,4]<=[8]", [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ("{}", [[0, 1, 2, 3, 4, 5, 6, 7]]),
    ],
)
def test_replica_groups(text, expected):
    line = (
        f"ENTRY %main (x: f32[2]) -> f32[2] {{\n"
        f"  %sum = f32[2]{{0}} all-reduce(%x), replica_groups={text}, to_apply=%f\n}}\n"
    )
    (found,) = collectives(line, 8)
    np.testing.assert_array_equal(found.groups, expected)


def test_traffic_reads_one_layer_of_a_stack():
    kib = 8 * 4 * 4  # Bytes of f32[8,4].
    per_iteration = (kib + kib + 4) + (kib + 16 * 4 * 2) + 3 * 2 * kib  # slice, gather, permutes
    entry = 2 * kib + (kib + kib) + (kib + kib // 4) + 2 * kib
    # Flags and what lies on the chip, as S(1) and S(2), are not counted.
    assert memory_traffic(PROGRAM) == 5 * per_iteration + entry


def test_slices_send_through_the_host():
    line = (
        "ENTRY %main (x: f32[2]) -> f32[2] {\n  %send.1 = (f32[1,8,128]{2,1,0:T(8,128)}, u32[], "
        "token[]) send(%x, %after-all.1), channel_id=3, is_host_transfer=true, "
        'frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime"}\n'
        "  %send.2 = (f32[4], u32[], token[]) send(%x, %after-all.2), channel_id=4\n}\n"
    )
    (found,) = collectives(line, 8)
    assert (found.kind, found.count, found.bytes, found.wire_bytes) == ("slice-send", 1, 4096, 4096)


NESTED = """
%deeper (d0: bf16[5,8,128], d1: s32[]) -> bf16[1,8,128] {
  %d0 = bf16[5,8,128]{2,1,0} parameter(0)
  %d1 = s32[] parameter(1)
  ROOT %ds = bf16[1,8,128]{2,1,0} dynamic-slice(%d0, %d1), dynamic_slice_sizes={1,8,128}
}

%async_collective_fusion.1 (f0: bf16[5,8,128], f1: s32[], f2: bf16[64,8]) -> (bf16[8,128], bf16[64,8]) {
  %f0 = bf16[5,8,128]{2,1,0} parameter(0)
  %f1 = s32[] parameter(1)
  %f2 = bf16[64,8]{1,0} parameter(2)
  %part = bf16[8,128]{1,0} fusion(%f0, %f1), kind=kLoop, calls=%deeper
  ROOT %t = (bf16[8,128]{1,0}, bf16[64,8]{1,0}) tuple(%part, %f2)
}

ENTRY %main (x: bf16[5,8,128]) -> bf16[8,128] {
  %x = bf16[5,8,128]{2,1,0} parameter(0)
  %i = s32[] parameter(1)
  %flying = bf16[64,8]{1,0} parameter(2)
  %f = (bf16[8,128]{1,0}, bf16[64,8]{1,0}) fusion(%x, %i, %flying), kind=kLoop, output_to_operand_aliasing={{1}: (2, {})}, calls=%async_collective_fusion.1
  ROOT %s = ((bf16[5,8,128]{2,1,0}), bf16[1,8,128]{2,1,0:S(1)}, s32[]{:S(2)}) slice-start(%x), slice={[0:1], [0:8], [0:128]}
}
"""


def test_traffic_follows_slices_into_nested_fusions():
    """Not the saved activations of all layers, and not the buffer of a collective in flight."""
    part = 8 * 128 * 2
    assert memory_traffic(NESTED) == (part + part + 4) + part  # Read, written, number; prefetch.


FLYING = """
%begin (b0: bf16[8,8]) -> (bf16[8,8], bf16[64,8]) {
  %b0 = bf16[8,8]{1,0} parameter(0)
  %g0 = bf16[64,8]{1,0} all-gather(%b0), channel_id=3, replica_groups=[1,8]<=[8], dimensions={0}, frontend_attributes={chain_id="0"}
  ROOT %t0 = (bf16[8,8]{1,0}, bf16[64,8]{1,0}) tuple(%b0, %g0)
}

%async_collective_fusion.1 (f0: bf16[4,4], f1: bf16[8,8], f2: bf16[64,8]) -> (bf16[4,4], bf16[64,8]) {
  %f0 = bf16[4,4]{1,0} parameter(0)
  %f1 = bf16[8,8]{1,0} parameter(1)
  %f2 = bf16[64,8]{1,0} parameter(2)
  %g1 = bf16[64,8]{1,0} all-gather(%f1), channel_id=3, replica_groups=[1,8]<=[8], dimensions={0}, frontend_attributes={chain_id="0"}
  %computed = bf16[4,4]{1,0} multiply(%f0, %f0)
  ROOT %t1 = (bf16[4,4]{1,0}, bf16[64,8]{1,0}) tuple(%computed, %f2)
}

%end (e0: bf16[8,8], e1: bf16[64,8]) -> bf16[64,8] {
  %e0 = bf16[8,8]{1,0} parameter(0)
  %e1 = bf16[64,8]{1,0} parameter(1)
  ROOT %g2 = bf16[64,8]{1,0} all-gather(%e0), channel_id=3, replica_groups=[1,8]<=[8], dimensions={0}, frontend_attributes={chain_id="0"}
}

ENTRY %main (x: bf16[8,8], y: bf16[4,4]) -> bf16[64,8] {
  %x = bf16[8,8]{1,0:S(1)} parameter(0)
  %y = bf16[4,4]{1,0:S(1)} parameter(1)
  %async-collective-start = (bf16[8,8]{1,0:S(1)}, bf16[64,8]{1,0}) fusion(%x), kind=kCustom, calls=%begin
  %whole = bf16[64,8]{1,0} get-tuple-element(%async-collective-start), index=1
  %f = (bf16[4,4]{1,0:S(1)}, bf16[64,8]{1,0}) fusion(%y, %x, %whole), kind=kLoop, output_to_operand_aliasing={{1}: (2, {})}, calls=%async_collective_fusion.1
  %handed = bf16[64,8]{1,0} get-tuple-element(%f), index=1
  %async-collective-done = bf16[64,8]{1,0} fusion(%x, %handed), kind=kCustom, calls=%end
  ROOT %c = bf16[64,8]{1,0:S(1)} copy(%y)
}
"""


def test_a_collective_in_flight_counts_once():
    """The text has it in every fusion that runs meanwhile; what is gathered is written once."""
    (found,) = collectives(FLYING, 8)
    assert (found.kind, found.count, found.bytes) == ("all-gather", 1, 64 * 8 * 2)
    assert memory_traffic(FLYING) == 64 * 8 * 2

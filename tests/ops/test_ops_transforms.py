"""rfwarp.ops under opcheck, torch.compile, torch.export, AOTInductor and torch.func."""

import pytest
import torch
from torch.autograd import forward_ad

from rfwarp.ops import warp, warp_fuse

pytestmark = [
    pytest.mark.usefixtures("kernels"),
    pytest.mark.parametrize("kernels", ["torch", "compiled"], indirect=True),
]


def make_inputs(n=2, k=2, c=3, h=4, w=5, dtype=torch.float32):
    """features, flow, residual, occlusion, attention, target: leaves that require gradients."""
    g = torch.Generator().manual_seed(0)
    shapes = [(n, k, c, h, w), *[(n, k, size, h, w) for size in (2, 2, 1, 1)], (n, c, h, w)]
    return [torch.randn(s, generator=g, dtype=dtype).requires_grad_() for s in shapes]


MASK = torch.tensor([[True, False], [True, True]])


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "padding_mode", ["zeros", *(pytest.param(x, marks=SLOW) for x in ("border", "reflection"))]
)
@pytest.mark.parametrize("with_options", [True, False])
def test_opcheck_warp_fuse(padding_mode, with_options):
    inputs = make_inputs()
    if not with_options:
        inputs[2] = None
    mask = MASK if with_options else None
    torch.library.opcheck(torch.ops.rfwarp.warp_fuse.default, (*inputs, mask, padding_mode))


def test_opcheck_layouts_and_types():
    features, flow, residual, occlusion, attention, target = (x.detach() for x in make_inputs())
    features = features[:1].expand(2, -1, -1, -1, -1).bfloat16().requires_grad_()
    target = target.to(torch.bfloat16, memory_format=torch.channels_last).requires_grad_()
    torch.library.opcheck(
        torch.ops.rfwarp.warp_fuse.default,
        (features, flow.mT.contiguous().mT, residual, occlusion, attention, target, None, "zeros"),
    )


@pytest.mark.parametrize("output_mask", [[True] * 5, [False, True, False, True, False]])
def test_opcheck_warp_fuse_backward(output_mask):
    inputs = [x.detach() for x in make_inputs()]
    torch.library.opcheck(
        torch.ops.rfwarp.warp_fuse_backward.default,
        (torch.ones_like(inputs[-1]), *inputs, MASK, "zeros", output_mask),
    )


def test_opcheck_warp():
    features, flow, *_ = (x[:, 0].detach().requires_grad_() for x in make_inputs())
    torch.library.opcheck(torch.ops.rfwarp.warp.default, (features, flow, "border"))
    torch.library.opcheck(
        torch.ops.rfwarp.warp_backward.default,
        (torch.ones_like(features), features.detach(), flow.detach(), "border", [True, False]),
    )


def network(features, flow, residual, occlusion, attention, target, mask):
    """Both operators between elementwise work that inductor wants to fuse with them."""
    residual = residual + warp(features[:, 0] * 2, flow[:, 0])[:, None, :2]
    return warp_fuse(features * 2, flow, residual, occlusion, attention, target + 1, mask).relu()


@pytest.mark.parametrize("dynamic", [pytest.param(False, marks=SLOW), True])
def test_compile_forward_and_backward(dynamic):
    compiled = torch.compile(network, fullgraph=True, dynamic=dynamic)
    for shape in [{}, {"n": 2, "h": 6, "w": 3}][: 1 + dynamic]:
        inputs = make_inputs(**shape)
        expected, out = network(*inputs, MASK), compiled(*inputs, MASK)
        torch.testing.assert_close(out, expected)
        for mine, theirs in zip(
            torch.autograd.grad(out.square().sum(), inputs),
            torch.autograd.grad(expected.square().sum(), inputs),
            strict=True,
        ):
            torch.testing.assert_close(mine, theirs)


class Network(torch.nn.Module):
    def forward(self, *inputs):
        return network(*inputs)


@pytest.fixture(scope="module")
def exported():
    """network for any batch size."""
    inputs = tuple(x.detach() for x in make_inputs())
    batch = torch.export.Dim("batch", min=2)
    return torch.export.export(
        Network(), (*inputs, MASK), dynamic_shapes={"inputs": ({0: batch},) * 7}
    )


def larger_batch():
    return (*(torch.cat([x, x]).detach() for x in make_inputs()), torch.cat([MASK, MASK]))


def test_export_keeps_the_operators_whole(exported):
    called = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert {"rfwarp.warp.default", "rfwarp.warp_fuse.default"} <= called
    larger = larger_batch()
    torch.testing.assert_close(exported.module()(*larger), network(*larger))


@pytest.fixture(scope="module")
def package(exported, tmp_path_factory):
    path = tmp_path_factory.mktemp("aoti") / "network.pt2"
    quickly = {"aot_inductor.compile_wrapper_opt_level": "O0"}
    return torch._inductor.aoti_compile_and_package(
        exported, package_path=str(path), inductor_configs=quickly
    )


@pytest.mark.slow
def test_aotinductor_packages_them(package):
    larger = larger_batch()
    torch.testing.assert_close(
        torch._inductor.aoti_load_package(package)(*larger), network(*larger)
    )


def test_meta_tensors_give_shapes():
    inputs = [x.to("meta") for x in make_inputs()]
    out = warp_fuse(*inputs, MASK.to("meta"))
    assert out.device.type == "meta"
    assert out.shape == inputs[-1].shape


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_vmap_is_a_loop():
    features, flow, *_ = (x.detach() for x in make_inputs())
    expected = torch.stack([warp(f, w) for f, w in zip(features, flow, strict=True)])
    assert torch.equal(torch.vmap(warp)(features, flow), expected)


# Derivatives that are not there say so


def test_second_derivative_is_refused():
    inputs = make_inputs()
    by_fuse = torch.autograd.grad(warp_fuse(*inputs).square().sum(), inputs[1], create_graph=True)
    by_warp = torch.autograd.grad(
        warp(inputs[0][:, 0], inputs[1][:, 0]).square().sum(), inputs[1], create_graph=True
    )
    for (gradient,) in (by_fuse, by_warp):
        with pytest.raises(NotImplementedError, match="no second derivative"):
            gradient.sum().backward()


def test_forward_mode_is_refused():
    inputs = [x.detach() for x in make_inputs()]
    with pytest.raises(NotImplementedError, match="no forward-mode derivative"):
        torch.func.jvp(lambda t: warp_fuse(*inputs[:-1], t), (inputs[-1],), (inputs[-1],))
    with forward_ad.dual_level():
        features = forward_ad.make_dual(inputs[0][:, 0], inputs[0][:, 0])
        with pytest.raises(NotImplementedError, match="no forward-mode derivative"):
            warp(features, inputs[1][:, 0])


def test_functional_gradients_are_refused():
    features, flow, *_ = (x.detach()[:, 0] for x in make_inputs())
    with pytest.raises(RuntimeError, match="functorch"):
        torch.func.grad(lambda w: warp(features, w).sum())(flow)

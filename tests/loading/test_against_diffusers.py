"""What diffusers itself writes and computes, where it and torch are installed; the goldens of
test_pretrained.py stand in for it elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.loading.pretrained import load_autoencoder_kl, load_mmdit

diffusers = pytest.importorskip("diffusers")
torch = pytest.importorskip("torch")
TOLERANCE = 1e-4


def close(ours, theirs):
    theirs = np.moveaxis(theirs.detach().numpy(), 1, -1)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE * max(1, np.abs(theirs).max()))


def randomised(model):
    """Zero and one are what modules begin with, where an error would not show."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def by_input(function, *given):
    """The output, and the gradient of half its sum of squares by the first argument."""

    def loss(x):
        out = function(x, *given[1:])
        return jnp.sum(jnp.square(out)) / 2, out

    (_, out), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(given[0])
    return out, gradient


@pytest.mark.parametrize("size", ["8KB", "1GB"])
def test_a_transformer_as_diffusers_saves_it(tmp_path, size):
    """In several files with an index, and in one."""
    torch.manual_seed(3)
    theirs = randomised(
        diffusers.SD3Transformer2DModel(
            sample_size=12,
            num_layers=4,
            attention_head_dim=4,
            num_attention_heads=4,
            joint_attention_dim=6,
            caption_projection_dim=16,
            pooled_projection_dim=7,
            pos_embed_max_size=9,
            dual_attention_layers=(0,),
            qk_norm="rms_norm",
        )
    )
    theirs.save_pretrained(tmp_path / "transformer", max_shard_size=size)
    model, variables = load_mmdit(tmp_path)
    latents = torch.randn(3, 16, 6, 8, requires_grad=True)
    context, pooled, timesteps = torch.randn(3, 4, 6), torch.randn(3, 7), torch.rand(3) * 1000
    want = theirs(latents, context, pooled, timesteps).sample
    (want.square().sum() / 2).backward()
    given = [jnp.asarray(x.detach().numpy()) for x in (latents, timesteps, context, pooled)]
    given[0] = jnp.moveaxis(given[0], 1, -1)
    out, gradient = by_input(lambda x, *rest: model.apply(variables, x, *rest), *given)
    close(out, want)
    close(gradient, latents.grad)


def test_an_autoencoder_as_diffusers_saves_it(tmp_path):
    torch.manual_seed(4)
    channels = (8, 12)
    theirs = randomised(
        diffusers.AutoencoderKL(
            block_out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=2,
            norm_num_groups=4,
            latent_channels=16,
            use_quant_conv=False,
            use_post_quant_conv=False,
            scaling_factor=1.25,
            shift_factor=0.5,
        )
    )
    theirs.save_pretrained(tmp_path / "vae")
    model, variables = load_autoencoder_kl(tmp_path / "vae")
    assert (model.scaling_factor, model.shift_factor) == (1.25, 0.5)
    images = torch.rand(2, 3, 8, 6, requires_grad=True)
    code = theirs.encode(images).latent_dist
    want = theirs.decode(code.mean).sample
    (want.square().sum() / 2).backward()
    given = jnp.moveaxis(jnp.asarray(images.detach().numpy()), 1, -1)
    mean, log_variance = jax.jit(lambda x: model.apply(variables, x, method="encode"))(given)
    close(mean, code.mean)
    close(log_variance, code.logvar)
    out, gradient = by_input(lambda x: model.apply(variables, x), given)
    close(out, want)
    close(gradient, images.grad)

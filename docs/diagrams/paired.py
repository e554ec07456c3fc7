"""Diagrams of the methods that learn from pairs: pix2pix and BicycleGAN."""

from docs.diagrams.canvas import Canvas
from docs.diagrams.words import bicyclegan, pix2pix, times

WIDTH = 880


def draw_pix2pix() -> Canvas:
    """Draw pix2pix's two losses."""
    config = pix2pix()
    canvas = Canvas(
        WIDTH,
        328,
        title="pix2pix: learning from pairs",
        description="The generator makes fake_b from real_a. L1 compares fake_b with real_b. The "
        "discriminator sees real_a together with fake_b, and real_a together with real_b, and "
        "says which pair is real.",
    )
    canvas.card(16, 16, WIDTH - 32, 296)
    canvas.labelled(32, 62, "real_a", "triangle", "outline")
    canvas.line((98, 92), (134, 92), role="generator")
    canvas.box(138, 68, 86, 48, ["G"], role="generator", size=17)
    canvas.line((228, 92), (264, 92), role="generator")
    canvas.labelled(268, 62, "fake_b", "triangle", "green")
    canvas.line((298, 144), (298, 162), role="loss", arrow=False)
    canvas.loss(206, 163, 184, "l1", f"same pixels? {times(config.lambda_l1)}")
    canvas.line((298, 194), (298, 212), role="loss", arrow=False)
    canvas.labelled(268, 214, "real_b", "triangle", "green")
    for y, label in ((62, "real_a, fake_b"), (214, "real_a, real_b")):
        canvas.line((334, y + 30), (446, y + 30), role="pale")
        canvas.picture(450, y, 60, "triangle", "outline")
        canvas.picture(514, y, 60, "triangle", "green")
        canvas.text(512, y + 76, label, size=13, mono=True, anchor="middle", role="caption")
    canvas.line((580, 92), (628, 92), (628, 148), role="discriminator")
    canvas.line((580, 244), (628, 244), (628, 204), role="discriminator")
    canvas.box(590, 152, 76, 48, ["D"], role="discriminator", size=17)
    canvas.line((670, 176), (688, 176), role="discriminator")
    canvas.loss(692, 161, 160, "gan", f"real pair? {times(config.lambda_gan)}")
    canvas.lines(
        692, 216, ["D sees the input too, so a", "fine photo of the wrong", "thing is a fake pair."]
    )
    return canvas


def draw_bicyclegan() -> Canvas:
    """Draw BicycleGAN's two paths."""
    canvas = Canvas(
        WIDTH,
        566,
        title="The two paths of BicycleGAN",
        description="cVAE-GAN: the encoder reads a code from real_b, the generator makes fake_vae "
        "from real_a and the code; L1 compares it with real_b, KL keeps the code near the normal "
        "distribution, discriminator vae judges the fake. cLR-GAN: the generator makes fake_lr "
        "from real_a and a random code, discriminator lr judges it, and the frozen encoder reads "
        "the code back.",
    )
    _draw_cvae(canvas)
    _draw_clr(canvas)
    return canvas


def _draw_cvae(canvas: Canvas) -> None:
    config = bicyclegan()
    canvas.card(16, 16, WIDTH - 32, 250)
    canvas.text(32, 44, "cVAE-GAN: picture → code → picture", size=16, bold=True)
    row = 152
    canvas.labelled(36, row - 30, "real_b", "triangle", "red")
    canvas.line((102, row), (136, row), role="encoder")
    canvas.box(140, row - 24, 76, 48, ["E"], role="encoder", size=17)
    canvas.line((220, row), (254, row), role="encoder")
    canvas.box(258, row - 24, 130, 48, ["z", "mean + noise"], size=15)
    canvas.line((323, row - 28), (323, row - 44), role="loss", arrow=False)
    canvas.loss(230, row - 75, 186, "kl", f"normal(0, 1)? {times(config.lambda_kl)}")
    canvas.line((392, row), (452, row), role="generator")
    canvas.box(456, row - 24, 86, 48, ["G"], role="generator", size=17)
    canvas.picture(469, row - 112, 60, "triangle", "outline")
    canvas.text(462, row - 78, "real_a", size=13, mono=True, anchor="end", role="caption")
    canvas.line((499, row - 50), (499, row - 28), role="generator")
    canvas.line((546, row), (586, row), role="generator")
    canvas.labelled(590, row - 30, "fake_vae", "triangle", "red")
    canvas.line((656, row), (696, row), role="discriminator")
    canvas.box(700, row - 24, 92, 48, ["D_vae"], role="discriminator", size=16)
    canvas.line((746, row - 28), (746, row - 44), role="discriminator")
    canvas.loss(640, row - 77, 212, "gan_vae", f"looks real? {times(config.lambda_gan)}")
    canvas.line((66, row + 54), (66, row + 84), (228, row + 84), role="loss", arrow=False)
    canvas.line((620, row + 54), (620, row + 84), (458, row + 84), role="loss", arrow=False)
    canvas.loss(228, row + 69, 230, "l1", f"same pixels? {times(config.lambda_l1)}")


def _draw_clr(canvas: Canvas) -> None:
    config = bicyclegan()
    canvas.card(16, 282, WIDTH - 32, 268)
    canvas.text(32, 310, "cLR-GAN: code → picture → code", size=16, bold=True)
    row = 436
    canvas.box(36, row - 24, 116, 48, ["z", "normal(0, 1)"], size=15)
    canvas.line((156, row), (206, row), role="generator")
    canvas.box(210, row - 24, 86, 48, ["G"], role="generator", size=17)
    canvas.picture(223, row - 112, 60, "triangle", "outline")
    canvas.text(216, row - 78, "real_a", size=13, mono=True, anchor="end", role="caption")
    canvas.line((253, row - 50), (253, row - 28), role="generator")
    canvas.line((300, row), (346, row), role="generator")
    canvas.labelled(350, row - 30, "fake_lr", "triangle", "green")
    canvas.line((380, row - 34), (380, row - 62), (458, row - 62), role="discriminator")
    canvas.box(462, row - 84, 92, 44, ["D_lr"], role="discriminator", size=16)
    canvas.line((558, row - 62), (588, row - 62), role="discriminator")
    canvas.loss(592, row - 77, 212, "gan_lr", f"looks real? {times(config.lambda_gan)}")
    canvas.line((416, row), (546, row), role="encoder")
    canvas.box(550, row - 24, 92, 48, ["E", "frozen"], role="encoder", size=16, dashed=True)
    canvas.line((646, row), (702, row), role="encoder")
    canvas.box(706, row - 24, 116, 48, ["mean", "read back"], size=15)
    canvas.line((94, row + 28), (94, row + 84), (300, row + 84), role="loss", arrow=False)
    canvas.line((764, row + 28), (764, row + 84), (558, row + 84), role="loss", arrow=False)
    canvas.loss(300, row + 69, 258, "latent", f"same code? L1 {times(config.lambda_latent)}")

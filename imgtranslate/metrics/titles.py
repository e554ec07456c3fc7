"""What the figures of `evaluate` are called, at the command line and on the page of a run."""

_ARROWS = {"lower": "↓", "higher": "↑"}
_TITLES = {
    "l1": "L1",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "fcn_pixel_accuracy": "FCN pixel accuracy",
    "fcn_class_accuracy": "FCN class accuracy",
    "fcn_class_iou": "FCN class IoU",
    "fcn_real_pixel_accuracy": "  of real photos: pixel accuracy",
    "fcn_real_class_accuracy": "  of real photos: class accuracy",
    "fcn_real_class_iou": "  of real photos: class IoU",
    "label_pixel_accuracy": "labels: pixel accuracy",
    "label_class_accuracy": "labels: class accuracy",
    "label_class_iou": "labels: class IoU",
    "swd": "sliced Wasserstein distance",
    "two_sample_accuracy": "told from real ones (0.5: not)",
    "fid": "FID",
    "kid": "KID",
    "diversity_l1": "diversity, L1",
    "diversity_lpips": "diversity, LPIPS",
}


def title_of(name: str, *, better: str) -> str:
    """Name a figure; the arrow shows where ``better`` lies, ``lower`` or ``higher``."""
    level = f"  at {name.removeprefix('swd_')} of the size" if name.startswith("swd_") else name
    return f"{_TITLES.get(name, level)} {_ARROWS.get(better, '')}".rstrip()


def figure_of(value: float, sign: str = "") -> str:
    """A figure in as many digits as say something."""
    return f"{value:{sign}.{2 if abs(value) >= 2 else 4}f}"

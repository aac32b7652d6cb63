"""Objects filled with black, found as what differs from the image's border."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergence.stimuli.shifts.colour import as_rgb
from convergence.stimuli.shifts.gaussian import blur

Array = NDArray[np.float64]
_SMOOTH = 1 / 112  # of the image's width: texture finer than that makes no outline
_BORDER = 1 / 16  # of the image's width
_NOISE = 0.03  # least standard deviation of a border's colours
_LEAST = np.log1p(2.0**2)  # two standard deviations: a plain image has no object
_BINS = 256
_PARTS = 0.2  # area of the largest part that others must have to belong to the object


def silhouette(images: Tensor) -> Tensor:
    """The filled object, black on white: float (n, 3, S, S) in [0, 1] to the same, 0 or 1.

    A colour is as strange as its Mahalanobis distance from the border's colours says, on the second likeliest of the
    four sides, for the object may touch one. What is above Otsu's threshold (1979), without holes and small parts, is
    the object.
    """
    smooth = blur(images, _SMOOTH * images.shape[-1]).cpu().numpy()
    found = np.stack([_object(image) for image in smooth]) if len(smooth) else np.empty(images[:, 0].shape)
    return as_rgb(1 - torch.from_numpy(found).to(images))


def _object(image: Array) -> NDArray[np.bool_]:
    from scipy import ndimage  # half a second that runs without this shift do not pay

    strange = _strangeness(image)
    mask = ndimage.binary_fill_holes(strange > max(_otsu(strange), _LEAST))
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    areas = np.bincount(parts.ravel())
    areas[0] = 0  # the ground
    return (areas >= _PARTS * areas.max())[parts]


def _strangeness(image: Array) -> Array:
    width = max(int(_BORDER * image.shape[-1]), 1)
    sides = (image[:, :width], image[:, -width:], image[:, :, :width], image[:, :, -width:])
    nearest, second = np.full((2, image[0].size), np.inf)
    for side in sides:
        colours = side.reshape(3, -1)
        mean = colours.mean(1, keepdims=True)
        covariance = (colours - mean) @ (colours - mean).T / colours.shape[1] + _NOISE**2 * np.eye(3)
        away = image.reshape(3, -1) - mean
        distance = (away * (np.linalg.inv(covariance) @ away)).sum(0)
        second = np.minimum(second, np.maximum(nearest, distance))
        nearest = np.minimum(nearest, distance)
    return np.log1p(second).reshape(image.shape[1:])


def _otsu(values: Array) -> float:
    """The threshold that leaves two groups with the least variance inside them."""
    counts, bounds = np.histogram(values, _BINS)
    centres = (bounds[:-1] + bounds[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    total = np.cumsum(counts * centres)
    apart = (total[:-1] / np.maximum(below, 1) - (total[-1] - total[:-1]) / np.maximum(above, 1)) ** 2
    return float(bounds[1 + np.argmax(below * above * apart)])

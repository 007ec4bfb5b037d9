import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import losses, targets


def test_weighted_mean():
    values, weights = jnp.array([[1.0, 2, 6], [5, 7, 9]]), jnp.array([[1.0, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(losses.weighted_mean(values, weights, axis=-1), [1.5, 0])
    assert losses.weighted_mean(values, jnp.array([[1.0, 0, 0], [0, 0, 3]])) == 7


def test_mse_maps_is_the_mean_over_pixels():
    predicted = jnp.zeros((2, 2, 3, 1)).at[1, 0, 2, 0].set(3.0)
    np.testing.assert_allclose(losses.mse_maps(predicted, jnp.zeros_like(predicted)), [[0], [1.5]])


@pytest.mark.parametrize("distance", [0.0, 0.25, 1.999, 2.0, 7.0])
def test_wing_values(distance):
    """width 2, curvature 1/2: 2 ln(1 + 2 d) below 2, d - (2 - 2 ln 5) beyond."""
    expected = 2 * np.log(1 + 2 * distance) if distance < 2 else distance - 2 + 2 * np.log(5)
    predicted = jnp.array([[[3.0 - distance, 1.0]]])
    value = losses.wing(predicted, jnp.array([[[3.0, 1.0]]]), 2.0, 0.5)
    np.testing.assert_allclose(value, [[expected]], rtol=1e-5, atol=1e-6)


def test_wing_is_continuous_and_adds_x_and_y():
    target = jnp.zeros((1, 1, 2))
    below, above = (losses.wing(target + d, target, 2.0, 0.5) for d in (2 - 1e-4, 2 + 1e-4))
    np.testing.assert_allclose(below, above, atol=5e-4)
    np.testing.assert_allclose(below, [[4 * np.log(5)]], atol=1e-3)


def test_wing_pulls_harder_the_nearer_the_target():
    """The slope is width / (curvature + d) = 2 at d = 1/2, and 1 beyond the width."""
    target = jnp.ones((1, 1, 2))
    predicted = target + jnp.array([[[0.5, -3.0]]])
    grad = jax.grad(lambda p: losses.wing(p, target, 2.0, 0.5).sum())(predicted)
    np.testing.assert_allclose(grad, [[[2, -1]]], rtol=1e-6)


def test_cross_entropy_of_equal_distributions_is_the_entropy():
    rng = np.random.default_rng(0)
    target = jnp.array(rng.uniform(0.1, 1, (2, 4, 5, 3)))
    p = target / target.sum((1, 2), keepdims=True)
    entropy = -(p * jnp.log(p)).sum((1, 2))
    value = losses.cross_entropy_maps(jnp.log(target) + 7.0, target)
    np.testing.assert_allclose(value, entropy, rtol=1e-5)
    other = losses.cross_entropy_maps(jnp.array(rng.normal(size=target.shape)), target)
    assert (other > entropy).all()


def test_cross_entropy_hand_value_and_empty_target():
    logits = jnp.log(jnp.array([0.25, 0.75])).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(
        losses.cross_entropy_maps(logits, jnp.array([3.0, 1.0]).reshape(1, 1, 2, 1)),
        [[-(0.75 * np.log(0.25) + 0.25 * np.log(0.75))]],
        rtol=1e-6,
    )
    assert losses.cross_entropy_maps(logits, jnp.zeros((1, 1, 2, 1))) == 0


AWING = {"alpha": 2.1, "omega": 14.0, "epsilon": 1.0, "theta": 0.5}


def awing(distance, target, **settings):
    """The loss of a single pixel, by the definition with A and C."""
    a, w, e, t = (AWING | settings).values()
    if distance < t:
        return w * np.log(1 + (distance / e) ** (a - target))
    power = (t / e) ** (a - target)
    slope = w / (1 + power) * (a - target) * (t / e) ** (a - target - 1) / e
    return slope * distance - (t * slope - w * np.log(1 + power))


def pixel(distance, target, **settings):
    """The same by the library: a map of one pixel."""
    target = jnp.full((1, 1, 1, 1), target)
    return losses.adaptive_wing(target + distance, target, **settings)[0, 0]


@pytest.mark.parametrize(
    ("distance", "target", "expected"),
    [
        (0.25, 1.0, 14 * np.log1p(0.25**1.1)),  # 2.7476
        (0.25, 0.0, 14 * np.log1p(0.25**2.1)),  # 0.7414
        (-0.25, 0.0, 14 * np.log1p(0.25**2.1)),
        # y = 1: A = 14 * 1.1 * 0.5^0.1 / (1 + 0.5^1.1) = 9.7817
        (1.0, 1.0, 14 * np.log1p(0.5**1.1) + 0.5 * 14 * 1.1 * 0.5**0.1 / (1 + 0.5**1.1)),
        (0.0, 0.3, 0.0),
    ],
)
def test_adaptive_wing_by_hand(distance, target, expected):
    assert pixel(distance, target) == pytest.approx(expected, rel=1e-5)


def test_adaptive_wing_is_its_definition():
    other = {"alpha": 1.8, "omega": 5.0, "epsilon": 0.7, "theta": 0.3}
    with jax.enable_x64(True):
        for settings in (AWING, other):
            for target in (0.0, 0.4, 1.0):
                for distance in (0.05, 0.299, 0.301, 0.499, 0.501, 3.0):
                    value = pixel(distance, target, **settings)
                    assert value.dtype == jnp.float64
                    assert value == pytest.approx(awing(distance, target, **settings), rel=1e-12)


def test_adaptive_wing_is_the_weighted_mean_over_pixels():
    rng = np.random.default_rng(0)
    target, predicted = rng.uniform(size=(2, 2, 3, 4, 5)).astype(np.float32)
    weights = rng.uniform(1, 11, target.shape).astype(np.float32)
    flat = zip(abs(predicted - target).ravel(), target.ravel(), strict=True)
    each = np.array([awing(*pair) for pair in flat]).reshape(target.shape)
    found = losses.adaptive_wing(jnp.array(predicted), jnp.array(target), jnp.array(weights))
    np.testing.assert_allclose(found, (weights * each).mean((1, 2)), rtol=1e-4)


@pytest.mark.parametrize("target", [0.0, 0.35, 1.0])
def test_adaptive_wing_slopes(target):
    """Against central differences, also across theta, where value and slope go on."""
    with jax.enable_x64(True):
        both = jax.jit(jax.value_and_grad(lambda distance: pixel(distance, target)))

        def value(distance):
            return float(both(distance)[0])

        def slope(distance):
            return float(both(distance)[1])

        step = 1e-6
        for distance in (-2.0, -0.5, -0.2, 0.1, 0.5 - 1e-7, 0.5, 0.5 + 1e-7, 0.8):
            differences = (value(distance + step) - value(distance - step)) / (2 * step)
            assert slope(distance) == pytest.approx(differences, rel=1e-5)
        below, above = 0.5 - 1e-12, 0.5 + 1e-12
        assert value(below) == pytest.approx(value(above), rel=1e-9)
        assert slope(below) == pytest.approx(slope(above), rel=1e-9)
        assert slope(0.0) == 0


def test_adaptive_wing_of_coarse_predictions_is_float32():
    target = jnp.zeros((1, 2, 2, 1))
    assert losses.adaptive_wing(target.astype(jnp.bfloat16), target).dtype == jnp.float32


# Five faces, three attributes: two faces have the first, one the second, none the third.
ATTRIBUTES = jnp.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]], np.uint8)


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        ("per_sample", [(2.5 + 2) / 3, (2.5 + 5 + 1) / 3, 1, 1, 1]),
        ("literal", [(2.5 + 5 + 1) / 3] * 5),
        ("masked", [(2.5 + 1) / 3, (2.5 + 5 + 1) / 3, 1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_focal_factor_by_hand(reading, expected):
    """N = 5: sigma is 5/2, 5 and, without any face, 1."""
    factor = losses.focal_factor(ATTRIBUTES, jnp.ones(5), reading)
    np.testing.assert_allclose(factor, expected, rtol=1e-6)


@pytest.mark.parametrize("reading", losses.FOCAL)
def test_focal_factor_is_one_without_attributes(reading):
    factor = losses.focal_factor(jnp.zeros((4, 6), jnp.uint8), jnp.ones(4), reading)
    np.testing.assert_array_equal(factor, np.ones(4))


def test_focal_factor_of_an_attribute_goes_with_how_rare_it_is():
    """Of 8 faces one has the first attribute and four the second: 8 and 2, and 1 else."""
    attributes = np.zeros((8, 2), np.uint8)
    attributes[0, 0] = attributes[4:, 1] = 1
    factor = losses.focal_factor(jnp.array(attributes), jnp.ones(8), "per_sample")
    np.testing.assert_allclose(factor, [4.5, 1, 1, 1, 1.5, 1.5, 1.5, 1.5])


@pytest.mark.parametrize("reading", losses.FOCAL)
def test_focal_factor_of_four_devices_is_that_of_one(reading):
    """Padding rows, which may repeat a rare face, count nowhere."""
    rng = np.random.default_rng(0)
    attributes = (rng.random((8, 6)) < 0.2).astype(np.uint8)
    weight = np.array([1, 1, 1, 1, 1, 0, 0, 0], np.float32)
    attributes[5:] = 1
    one = losses.focal_factor(jnp.array(attributes[:5]), jnp.ones(5), reading)

    def factor(attributes, weight):
        return losses.focal_factor(attributes, weight, reading, "devices")

    shared = jax.pmap(factor, "devices")(attributes.reshape(4, 2, 6), weight.reshape(4, 2))
    np.testing.assert_allclose(shared.ravel()[:5], one, rtol=1e-6)
    alone = losses.focal_factor(jnp.array(attributes[:2]), jnp.ones(2), reading)
    assert abs(alone - one[:2]).max() > 0.01


class TestStar:
    """STAR loss against numpy's eigenvectors, and what it is for."""

    def by_hand(self, logits, points):
        height, width, count = logits.shape
        share = np.exp(logits - logits.max((0, 1)))
        share = (share / share.sum((0, 1))).astype(np.float64)
        y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
        places, values = np.stack([x.ravel(), y.ravel()]), []
        for k in range(count):
            weights = share[..., k].ravel()
            mean = places @ weights
            covariance = np.cov(places, aweights=weights)
            variances, axes = np.linalg.eigh(covariance)
            truth = 2 * points[k] / (width - 1, height - 1) - 1
            distance = abs(axes.T @ (truth - mean))
            smooth = np.where(distance < 0.01, distance**2 / 0.02, distance - 0.005)
            values.append((smooth / np.sqrt(variances + 1e-5)).sum() + variances.sum())
        return np.array(values)

    def test_against_numpy(self):
        rng = np.random.default_rng(0)
        logits = rng.normal(0, 2, (2, 9, 12, 3)).astype(np.float32)
        points = rng.uniform(0, 8, (2, 3, 2)).astype(np.float32)
        found = losses.star(jnp.asarray(logits), jnp.asarray(points))
        expected = [self.by_hand(*pair) for pair in zip(logits, points, strict=True)]
        np.testing.assert_allclose(found, expected, rtol=2e-4)

    def test_errors_along_an_ambiguous_edge_cost_less(self):
        """A bar of probability along x: a point off its end costs less than one off its side."""
        x, y = np.meshgrid(np.arange(21), np.arange(21))
        bar = -((x - 10) ** 2) / (2 * 4.0**2) - (y - 10) ** 2 / (2 * 1.0**2)
        logits = jnp.asarray(bar, jnp.float32)[None, :, :, None]
        along, across = (
            float(losses.star(logits, jnp.array([[point]]))[0, 0])
            for point in ([13.0, 10], [10.0, 13])
        )
        assert across > 2 * along

    def test_its_gradient_compares_no_maximum(self, plain_softmax):
        """With its operands, which XLA may have computed anew, with other rounding."""
        slope = jax.grad(lambda logits: losses.star(logits, jnp.array([[[4.0, 3]]])).sum())
        assert "= eq " not in str(jax.make_jaxpr(slope)(jnp.zeros((1, 9, 9, 1))))

    @pytest.mark.heavy
    def test_gradients_are_finite_and_lead_to_the_point(self):
        """From an even map, whose distribution is round and whose mean may be the point itself."""
        slope = jax.jit(jax.grad(lambda logits, truth: losses.star(logits, truth).sum()))
        for point in ([4.0, 4.0], [6.0, 1.0]):
            truth, logits = jnp.array([[point]]), jnp.zeros((1, 9, 9, 1))
            assert np.isfinite(slope(logits, truth)).all()
            for _ in range(300):
                logits -= 2.0 * slope(logits, truth)
            place = np.unravel_index(int(logits.argmax()), (9, 9))
            assert place == (point[1], point[0])


def test_every_loss_of_maps_is_least_at_its_label():
    """Each by its entry: (B, K) values, lower where the maps are what the label asks for."""
    points = jnp.array([[[5.0, 3.0], [2.0, 6.0]]])
    maps = targets.gaussian_maps(points * 4 + 1.5, 4, 36, 1.0)
    label = losses.Label(points, maps)
    for name, loss in losses.LOSSES.items():
        right = 30 * maps if loss.logits else maps
        values, worse = loss.call(right, label), loss.call(jnp.roll(right, 2, 1), label)
        assert values.shape == (1, 2) and (worse > values + 1e-3).all(), name

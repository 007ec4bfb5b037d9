"""The systems, one file each; a further one adds one line here."""

from jaxalign.systems.attention_cropping import AttentionCropping
from jaxalign.systems.gaussian_vector import GaussianVector
from jaxalign.systems.hourglass import StackedHourglass
from jaxalign.systems.integral import Integral
from jaxalign.systems.pipnet import PIPNet
from jaxalign.systems.pixelwise import PixelWise
from jaxalign.systems.propagationnet import PropagationNet
from jaxalign.systems.tab import TAB


SYSTEMS = {
    cls.__name__: cls
    for cls in (
        StackedHourglass,
        TAB,
        GaussianVector,
        PropagationNet,
        PixelWise,
        AttentionCropping,
        PIPNet,
        Integral,
    )
}

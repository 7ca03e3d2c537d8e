"""Optimizers of the field: functions of hyperparameters that return an optax transformation.

Every argument can be a lane column of a sweep, so it may be a traced scalar. To add an optimizer
write such a function, in any file; it is rebuilt inside each lane from that lane's numbers, and
never recompiled for new ones. `chain` puts two of them together: `chain(grokfast_ema_filter,
nesterov)` is an optimizer whose lane columns are the arguments of both.

`warmup`, where it is an argument, raises the learning rate linearly over that many steps:
`learning_rate * min(1, step / warmup)`, where the first update has step 0, and so changes nothing.

Numbers that mean nothing, such as a negative learning rate, are refused with a `ValueError` where
they are known: when an optimizer is made of Python's, and in a sweep before anything is compiled.
"""

from grokjax.optimizers.combined import Optimizer as Optimizer
from grokjax.optimizers.combined import add_update_noise as add_update_noise
from grokjax.optimizers.combined import chain as chain
from grokjax.optimizers.combined import check_hyperparameters as check_hyperparameters
from grokjax.optimizers.combined import grokfast_ema as grokfast_ema
from grokjax.optimizers.combined import grokfast_ema_filter as grokfast_ema_filter
from grokjax.optimizers.combined import grokfast_ma as grokfast_ma
from grokjax.optimizers.combined import grokfast_ma_filter as grokfast_ma_filter
from grokjax.optimizers.combined import orthograd as orthograd
from grokjax.optimizers.combined import orthograd_filter as orthograd_filter
from grokjax.optimizers.combined import with_update_noise as with_update_noise
from grokjax.optimizers.standard import Scalar as Scalar
from grokjax.optimizers.standard import adam as adam
from grokjax.optimizers.standard import adamw as adamw
from grokjax.optimizers.standard import adamw_to_init as adamw_to_init
from grokjax.optimizers.standard import gradient_descent as gradient_descent
from grokjax.optimizers.standard import momentum as momentum
from grokjax.optimizers.standard import nesterov as nesterov
from grokjax.optimizers.standard import rmsprop as rmsprop

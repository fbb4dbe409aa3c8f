/* activation.h - the functions between an expert's two products, element by element, in FP32. */
#ifndef EPX_KERNELS_ACTIVATION_H
#define EPX_KERNELS_ACTIVATION_H

#include <stdbool.h>
#include <stddef.h>

#include <epx/kernels.h>

#include "kernels/isa.h"

/* Whether the activation takes a gate beside `up`. */
static inline bool epx_activation_gated(epx_activation activation)
{
    return activation != EPX_ACT_RELU;
}

/* up[i] = activation(gate[i], up[i]); gate is not read by RELU. A NaN stays a NaN. The same bits
 * for every instruction set, which the machine must have. */
void epx_activate(epx_isa isa, epx_activation activation, const float *gate, float *up,
                  size_t count);

#endif /* EPX_KERNELS_ACTIVATION_H */

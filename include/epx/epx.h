/* epx.h - expert-parallel exchange: all of it. Each header below also stands alone. */
#ifndef EPX_EPX_H
#define EPX_EPX_H

#include <epx/comm.h>
#include <epx/exchange.h>
#include <epx/kernels.h>
#include <epx/moe.h>
#include <epx/route.h>
#include <epx/sim.h>
#include <epx/status.h>

#endif /* EPX_EPX_H */

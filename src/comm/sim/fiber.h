/* fiber.h - coroutines: a function on a stack of its own, resumed by one scheduler.
 *
 * The sanitizers are told about each switch, so simulated runs can be checked by them. */
#ifndef EPX_COMM_SIM_FIBER_H
#define EPX_COMM_SIM_FIBER_H

#include <stdbool.h>

#include "core/fail.h"

typedef struct epx_fiber epx_fiber;

EPX_NODISCARD epx_status epx_fiber_create(void (*main)(void *arg), void *arg,
                                          epx_fiber **fiber_out);
/* The fiber must have ended, or never been resumed. Accepts NULL. */
void epx_fiber_destroy(epx_fiber *fiber);

/* From the scheduler: runs the fiber until it yields or ends. */
void epx_fiber_resume(epx_fiber *fiber);
/* From inside the fiber: back to the scheduler. */
void epx_fiber_yield(epx_fiber *fiber);
bool epx_fiber_ended(const epx_fiber *fiber);

#endif /* EPX_COMM_SIM_FIBER_H */

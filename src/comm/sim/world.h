/* world.h - a simulated machine: ranks as coroutines of one thread, a virtual clock, one queue of
 * future events. Everything random comes from one seed, so a run repeats exactly.
 *
 * A rank runs until it waits; when all wait, the clock jumps to the next event or deadline. This is
 * the lowest room of comm/: boot, links and communicators have simulated twins built on it. */
#ifndef EPX_COMM_SIM_WORLD_H
#define EPX_COMM_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <epx/sim.h>

#include "core/fail.h"

typedef struct epx_world epx_world;

/* Runs main(world, rank, arg) on every rank until all have returned. EPX_ERR_SYSTEM when ranks
 * would wait for ever: they are then made to unwind as if dead. */
EPX_NODISCARD epx_status epx_world_run(const epx_sim_config *cfg,
                                       void (*main)(epx_world *world, int32_t rank, void *arg),
                                       void *arg, epx_sim_result *result_out);

const epx_sim_config *epx_world_config(const epx_world *world);
int32_t epx_world_node_of(const epx_world *world, int32_t rank);

/* Virtual nanoseconds; starts at 1 s, so that 0 can mean never. */
uint64_t epx_world_now(const epx_world *world);
/* The world's random stream. */
uint64_t *epx_world_rng(epx_world *world);

/* From inside a rank: gives the others a turn, until an event reaches this rank or `until`. */
void epx_world_wait(epx_world *world, uint64_t until);

/* At virtual time `at`: deliver(arg, a, b) unless NULL, then rank `to` becomes runnable. */
void epx_world_post(epx_world *world, int32_t to, uint64_t at,
                    void (*deliver)(void *arg, uint64_t a, uint64_t b), void *arg, uint64_t a,
                    uint64_t b);
/* Forgets deliveries to `arg`, which is about to be freed. */
void epx_world_cancel(epx_world *world, const void *arg);

/* A delay of one message by the configuration. */
uint64_t epx_world_delay(epx_world *world);

/* Counts a message or wait of `rank` and lets it die when its time has come. A dead rank runs on
 * only to unwind: its calls fail, its messages vanish. */
void epx_world_count_event(epx_world *world, int32_t rank);
bool epx_world_dead(const epx_world *world, int32_t rank);
/* True once the others can know: detection takes a millisecond. */
bool epx_world_known_dead(const epx_world *world, int32_t rank);

/* One shared pointer per key, for the simulated twins of ranks to find each other. */
void *epx_world_shared(const epx_world *world, uint64_t key);
EPX_NODISCARD epx_status epx_world_share(epx_world *world, uint64_t key, void *value);

#endif /* EPX_COMM_SIM_WORLD_H */

/* sim.h - many ranks in one process, on one thread, under a virtual clock.
 *
 * Each rank runs the caller's function as a coroutine and uses the ordinary API on a communicator
 * whose transport is simulated: chunks are delayed, reordered between peers, lost or flipped, ranks
 * die; all from one seed, so a run repeats bit by bit. */
#ifndef EPX_SIM_H
#define EPX_SIM_H

#include <epx/comm.h>

EPX_BEGIN_DECLS

#define EPX_SIM_MAX_RANKS 64

typedef struct epx_sim_config {
    size_t struct_size;
    int32_t ranks;          /* 1..EPX_SIM_MAX_RANKS */
    const int32_t *node_of; /* [ranks] node of each rank, NULL: all on one */
    uint64_t seed;
    uint64_t min_delay_ns; /* of one message; 0: 1000 */
    uint64_t max_delay_ns; /* 0: 100 x min_delay_ns */
    double loss;           /* probability that a message between nodes vanishes */
    double bit_flip;       /* probability that one bit of it is wrong */
    int32_t kill_rank;     /* with kill_at_event > 0: dies at its n-th message or wait */
    uint64_t kill_at_event;
    uint32_t timeout_ms; /* of the communicators, virtual; 0: 30000 */
} epx_sim_config;

typedef struct epx_sim_result {
    size_t struct_size;
    uint64_t virtual_ns; /* when the last rank returned */
    uint64_t messages;
    uint64_t events; /* of kill_rank, whether it was killed or not */
} epx_sim_result;

/* Runs body(comm, arg) on every rank; comm is destroyed when body returns. status_out[ranks] gets
 * what each returned (EPX_ERR_PEER_LOST for a killed one). result_out may be NULL. Local; one run
 * at a time per thread. */
EPX_NODISCARD EPX_API epx_status epx_sim_run(const epx_sim_config *cfg,
                                             epx_status (*body)(epx_comm *comm, void *arg),
                                             void *arg, epx_status *status_out,
                                             epx_sim_result *result_out);

EPX_END_DECLS

#endif /* EPX_SIM_H */

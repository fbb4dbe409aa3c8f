/* plan.h - every plan is a choice of relay.
 *
 * A token of rank s with experts on another node m travels s -> sigma -> rho -> its ranks on m.
 *   flat          one copy per destination rank: sigma = s, rho = the destination
 *   inter-first   sigma = s, rho = the member of m on s's rail
 *   intra-first   rho = the token's first destination on m, sigma = the own member on rho's rail
 * As long as no NIC is known, every rank holds a rail: that of its index in its node. */
#ifndef EPX_COMM_EXCHANGE_PLAN_H
#define EPX_COMM_EXCHANGE_PLAN_H

#include <epx/exchange.h>

#include "comm/topo/grid.h"

/* The receiving relay for a token of rank s whose first (flat: this) destination is `first`. */
static inline int32_t epx_plan_rho(epx_plan plan, const epx_grid *grid, int32_t s, int32_t node,
                                   int32_t first)
{
    if (plan != EPX_PLAN_INTER_FIRST)
        return first;
    return epx_grid_rank(grid, node, grid->local_of[s] % epx_grid_members(grid, node));
}

/* The sending relay, on the node of s. */
static inline int32_t epx_plan_sigma(epx_plan plan, const epx_grid *grid, int32_t s, int32_t rho)
{
    int32_t node = grid->node_of[s];

    if (plan != EPX_PLAN_INTRA_FIRST)
        return s;
    return epx_grid_rank(grid, node, grid->local_of[rho] % epx_grid_members(grid, node));
}

/* Rows summed over all ranks, as all ranks agreed. */
typedef struct epx_plan_totals {
    uint64_t far_node_rows; /* (token, other node) */
    uint64_t far_rank_rows; /* (token, rank on another node) */
    uint64_t rank_rows;     /* (token, rank) */
} epx_plan_totals;

/* Seconds of latency and per byte, between nodes (far) and inside (near). Equal on all ranks. */
typedef struct epx_plan_model {
    double far_latency, far_per_byte;
    double near_latency, near_per_byte;
} epx_plan_model;

extern const epx_plan_model epx_plan_default_model;

/* Predicted seconds of one dispatch under a plan: the formulas of a balanced two-level exchange
 * (latency + bytes per hop; hops pipelined over `chunks` chunks). */
double epx_plan_predict(epx_plan plan, const epx_grid *grid, const epx_plan_totals *totals,
                        size_t row_bytes, double chunks, const epx_plan_model *model);

/* The cheapest; ties: inter-first, flat, intra-first. A pure function, so every rank chooses the
 * same. */
epx_plan epx_plan_choose(const epx_grid *grid, const epx_plan_totals *totals, size_t row_bytes,
                         size_t chunk_bytes, const epx_plan_model *model);

#endif /* EPX_COMM_EXCHANGE_PLAN_H */

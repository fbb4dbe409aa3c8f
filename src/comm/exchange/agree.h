/* agree.h - both sides know all sizes before any payload: two-level exchange of tallies.
 *
 * Each rank sends one tally to one member of every other node (the one on its rail), which puts it
 * into its window; the members of a node read each other's share through the mapping. A rank that
 * has finished agree n knows that everybody has entered dispatch n. */
#ifndef EPX_COMM_EXCHANGE_AGREE_H
#define EPX_COMM_EXCHANGE_AGREE_H

#include "comm/exchange/exchange.h"

/* The member of `node` that receives rank s's tally for it. */
static inline int32_t epx_agree_target(const epx_grid *grid, int32_t s, int32_t node)
{
    if (grid->node_of[s] == node)
        return s;
    return epx_grid_rank(grid, node, grid->local_of[s] % epx_grid_members(grid, node));
}

/* Starts the exchange that the counts of x belong to. */
void epx_agree_begin(epx_exchange *x);
/* Moves on; true if anything happened. On a fault the exchange is broken. */
bool epx_agree_step(epx_exchange *x);
bool epx_agree_done(const epx_exchange *x);
/* A member that has not published its share, or a source of the own share; root rank. */
int32_t epx_agree_waits_for(const epx_exchange *x);

/* After done: rank s's tally for this node. */
const epx_tally *epx_agree_tally(const epx_exchange *x, int32_t s);
/* After done: chunks that member `from` passes through this rank, if intra-first. */
uint32_t epx_agree_via(const epx_exchange *x, int32_t from_local);

#endif /* EPX_COMM_EXCHANGE_AGREE_H */

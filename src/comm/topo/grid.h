/* grid.h - the ranks of a communicator as nodes x members. Immutable after init.
 *
 * Nodes are numbered by their lowest rank; members of a node ascend. Nodes may differ in size. */
#ifndef EPX_COMM_TOPO_GRID_H
#define EPX_COMM_TOPO_GRID_H

#include <stdint.h>

#include "core/fail.h"

typedef struct epx_grid {
    int32_t num_ranks;
    int32_t num_nodes;
    int32_t max_members; /* of any node */
    int32_t *node_of;    /* [num_ranks]; owns, as all below */
    int32_t *local_of;   /* [num_ranks] index among its node's members */
    int32_t *begin;      /* [num_nodes + 1] into order */
    int32_t *order;      /* [num_ranks] ranks by (node, rank) */
    int32_t *place;      /* [num_ranks] inverse of order: a rank's position by (node, rank) */
} epx_grid;

/* node_key[num_ranks]: equal numbers are one node. */
EPX_NODISCARD epx_status epx_grid_init(epx_grid *grid, int32_t num_ranks, const int32_t *node_key);
void epx_grid_close(epx_grid *grid);

static inline int32_t epx_grid_members(const epx_grid *grid, int32_t node)
{
    return grid->begin[node + 1] - grid->begin[node];
}

/* The local-th rank of a node. */
static inline int32_t epx_grid_rank(const epx_grid *grid, int32_t node, int32_t local)
{
    return grid->order[grid->begin[node] + local];
}

#endif /* EPX_COMM_TOPO_GRID_H */

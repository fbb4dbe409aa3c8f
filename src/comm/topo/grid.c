/* grid.c - sorts ranks by (node, rank). */
#include "comm/topo/grid.h"

#include <string.h>

#include "core/mem.h"

static epx_status alloc_arrays(epx_grid *grid)
{
    size_t n = (size_t)grid->num_ranks;

    grid->node_of = epx_mem_alloc("grid", n, sizeof(int32_t));
    grid->local_of = epx_mem_alloc("grid", n, sizeof(int32_t));
    grid->begin = epx_mem_alloc("grid", n + 1, sizeof(int32_t));
    grid->order = epx_mem_alloc("grid", n, sizeof(int32_t));
    grid->place = epx_mem_alloc("grid", n, sizeof(int32_t));
    if (grid->node_of == NULL || grid->local_of == NULL || grid->begin == NULL ||
        grid->order == NULL || grid->place == NULL)
        return EPX_ERR_NO_MEMORY;
    return EPX_OK;
}

/* Numbers the nodes by their lowest rank. `order` serves as scratch: the lowest rank of each. */
static void number_nodes(epx_grid *grid, const int32_t *node_key)
{
    int32_t *lowest = grid->order;
    int32_t rank, node;

    for (rank = 0; rank < grid->num_ranks; rank++) {
        for (node = 0; node < grid->num_nodes; node++)
            if (node_key[lowest[node]] == node_key[rank])
                break;
        if (node == grid->num_nodes)
            lowest[grid->num_nodes++] = rank;
        grid->node_of[rank] = node;
        grid->local_of[rank] = grid->begin[node + 1]++; /* sizes for now */
    }
}

static void place_ranks(epx_grid *grid)
{
    int32_t rank, node, members;

    for (node = 0; node < grid->num_nodes; node++) {
        members = grid->begin[node + 1];
        if (members > grid->max_members)
            grid->max_members = members;
        grid->begin[node + 1] += grid->begin[node];
    }
    for (rank = 0; rank < grid->num_ranks; rank++) {
        grid->place[rank] = grid->begin[grid->node_of[rank]] + grid->local_of[rank];
        grid->order[grid->place[rank]] = rank;
    }
}

epx_status epx_grid_init(epx_grid *grid, int32_t num_ranks, const int32_t *node_key)
{
    epx_grid made = {.num_ranks = num_ranks};
    epx_status st;

    if (num_ranks < 1 || node_key == NULL)
        return epx_fail(EPX_ERR_INVALID, "grid of %d ranks", num_ranks);
    st = alloc_arrays(&made);
    if (st != EPX_OK) {
        epx_grid_close(&made);
        return st;
    }
    number_nodes(&made, node_key);
    place_ranks(&made);
    *grid = made;
    return EPX_OK;
}

void epx_grid_close(epx_grid *grid)
{
    epx_mem_free(grid->node_of);
    epx_mem_free(grid->local_of);
    epx_mem_free(grid->begin);
    epx_mem_free(grid->order);
    epx_mem_free(grid->place);
    memset(grid, 0, sizeof(*grid));
}

/* setup.c - see setup.h. */
#include "comm/exchange/setup.h"

#include <string.h>

#include "comm/exchange/agree.h"
#include "comm/exchange/combine.h"
#include "comm/exchange/dispatch.h"
#include "core/mem.h"

epx_status epx_exchange_tables(epx_exchange *x)
{
    const epx_shape *s = &x->shape;
    size_t ranks = (size_t)s->grid->num_ranks, members = (size_t)s->members;
    size_t elems = s->cfg.combine_elems;

    x->far_index = epx_mem_alloc("exchange peers", ranks, sizeof(int32_t));
    x->agree_index = epx_mem_alloc("exchange peers", ranks, sizeof(int32_t));
    x->hop_index = epx_mem_alloc("exchange peers", members, sizeof(int32_t));
    x->agree.have = epx_mem_alloc("tallies", ranks, sizeof(bool));
    x->slot_pairs = epx_mem_alloc("counts", (size_t)s->route->num_slots, sizeof(uint32_t));
    x->rank_rows = epx_mem_alloc("counts", ranks, sizeof(uint32_t));
    x->first_rows = epx_mem_alloc("counts", ranks, sizeof(uint32_t));
    x->rank_pairs = epx_mem_alloc("counts", ranks, sizeof(uint32_t));
    x->verdict = epx_mem_alloc("counts", 1, sizeof(*x->verdict));
    x->next_output =
        epx_mem_alloc("places", ranks * (size_t)epx_shape_slots(s, s->node), sizeof(uint32_t));
    x->next_row = epx_mem_alloc("places", ranks * members, sizeof(uint32_t));
    x->acc = epx_mem_alloc("accumulator", elems, sizeof(float));
    x->acc_node = epx_mem_alloc("accumulator", elems, sizeof(float));
    x->rounded = epx_mem_alloc("accumulator", elems, s->elem_bytes);
    if (x->far_index == NULL || x->agree_index == NULL || x->hop_index == NULL ||
        x->agree.have == NULL || x->slot_pairs == NULL || x->rank_rows == NULL ||
        x->first_rows == NULL || x->rank_pairs == NULL || x->verdict == NULL ||
        x->next_output == NULL || x->next_row == NULL || x->acc == NULL || x->acc_node == NULL ||
        x->rounded == NULL)
        return EPX_ERR_NO_MEMORY;
    return EPX_OK;
}

/* ---- ports ---------------------------------------------------------------------------------- */

/* Root ranks ascend in most communicators, not in all. */
static void sort_ranks(int32_t *ranks, int32_t count)
{
    int32_t i, j;

    for (i = 1; i < count; i++)
        for (j = i; j > 0 && ranks[j - 1] > ranks[j]; j--) {
            int32_t swap = ranks[j];

            ranks[j] = ranks[j - 1];
            ranks[j - 1] = swap;
        }
}

static int32_t index_of(const int32_t *ranks, int32_t count, int32_t rank)
{
    int32_t i;

    for (i = 0; i < count; i++)
        if (ranks[i] == rank)
            return i;
    return -1;
}

/* Ranks that this one sends tallies to or gets them from, as root ranks. */
static int32_t agree_peers(const epx_exchange *x, int32_t *peers)
{
    const epx_grid *grid = x->shape.grid;
    int32_t rank, count = 0;

    for (rank = 0; rank < grid->num_ranks; rank++)
        if (grid->node_of[rank] != x->shape.node &&
            (epx_agree_target(grid, x->shape.rank, grid->node_of[rank]) == rank ||
             epx_agree_target(grid, rank, x->shape.node) == x->shape.rank))
            peers[count++] = epx_exchange_root_rank(x, rank);
    sort_ranks(peers, count);
    return count;
}

/* Ranks of other nodes that chunks of this rank's operations go to or come from, as root ranks. */
static int32_t chunk_peers(const epx_exchange *x, int32_t *peers)
{
    const epx_grid *grid = x->shape.grid;
    int32_t rank, count = 0;

    for (rank = 0; rank < grid->num_ranks; rank++) {
        int32_t node = grid->node_of[rank];

        if (node == x->shape.node)
            continue;
        if (x->shape.cfg.plan == EPX_PLAN_INTER_FIRST &&
            epx_plan_rho(EPX_PLAN_INTER_FIRST, grid, x->shape.rank, node, -1) != rank &&
            epx_plan_rho(EPX_PLAN_INTER_FIRST, grid, rank, x->shape.node, -1) != x->shape.rank)
            continue;
        peers[count++] = epx_exchange_root_rank(x, rank);
    }
    sort_ranks(peers, count);
    return count;
}

static epx_status open_port(epx_exchange *x, epx_link *link, uint32_t lane, const int32_t *peers,
                            int32_t count, size_t slot_bytes, epx_port **port_out)
{
    epx_port_config cfg = {.id = x->id << 2 | lane,
                           .peers = peers,
                           .num_peers = count,
                           .slot_bytes = slot_bytes,
                           .depth = lane == EPX_LANE_AGREE ? 2 : x->shape.depth,
                           .self_clocked = lane == EPX_LANE_AGREE};

    return count == 0 ? EPX_OK : link->ops->port_open(link, &cfg, port_out);
}

static epx_status open_far(epx_exchange *x, int32_t *peers)
{
    epx_link *far = x->root->far;
    int32_t count = agree_peers(x, peers), rank;
    epx_status st =
        open_port(x, far, EPX_LANE_AGREE, peers, count, x->shape.max_tally_bytes, &x->agree_port);

    for (rank = 0; rank < x->shape.grid->num_ranks; rank++)
        x->agree_index[rank] = index_of(peers, count, epx_exchange_root_rank(x, rank));
    count = chunk_peers(x, peers);
    for (rank = 0; rank < x->shape.grid->num_ranks; rank++)
        x->far_index[rank] = index_of(peers, count, epx_exchange_root_rank(x, rank));
    if (st == EPX_OK)
        st = open_port(x, far, EPX_LANE_DISPATCH, peers, count, x->shape.slot_bytes,
                       &x->dispatch_port);
    if (st == EPX_OK)
        st = open_port(x, far, EPX_LANE_COMBINE, peers, count, x->shape.slot_bytes,
                       &x->combine_port);
    return st;
}

/* The members of the node as root ranks, ascending. */
static int32_t member_ranks(const epx_exchange *x, int32_t *ranks)
{
    int32_t l;

    for (l = 0; l < x->shape.members; l++)
        ranks[l] = epx_exchange_root_rank(x, epx_grid_rank(x->shape.grid, x->shape.node, l));
    sort_ranks(ranks, x->shape.members);
    return x->shape.members;
}

/* base[local]: the window's peers are ordered by root rank, members by rank of this group. */
static epx_status open_window(epx_exchange *x, int32_t *peers)
{
    epx_link *near = x->root->near;
    int32_t count = member_ranks(x, peers), l;
    epx_status st = near->ops->window_open(near, peers, count, x->shape.window.total, &x->window);

    for (l = 0; l < count && st == EPX_OK; l++) {
        int32_t rank = epx_grid_rank(x->shape.grid, x->shape.node, l);

        x->base[l] = x->window->base[index_of(peers, count, epx_exchange_root_rank(x, rank))];
    }
    return st;
}

/* intra-first: chunks between members on their way out. */
static epx_status open_hop(epx_exchange *x, int32_t *peers)
{
    int32_t count = member_ranks(x, peers), l, rank;

    if (x->shape.grid->num_nodes == 1 || x->shape.members == 1 ||
        !epx_shape_allows(&x->shape, EPX_PLAN_INTRA_FIRST))
        return EPX_OK;
    for (l = 0; l < x->shape.members; l++) {
        rank = epx_exchange_root_rank(x, epx_grid_rank(x->shape.grid, x->shape.node, l));
        x->hop_index[l] = l == x->shape.local ? -1 : index_of(peers, count, rank);
    }
    return open_port(x, x->root->near, EPX_LANE_HOP, peers, count, x->shape.slot_bytes,
                     &x->hop_port);
}

epx_status epx_exchange_connect(epx_exchange *x)
{
    size_t ranks = (size_t)x->shape.grid->num_ranks;
    int32_t *peers = epx_mem_alloc("exchange peers", ranks, sizeof(*peers));
    epx_status st = epx_comm_new_id(x->comm, &x->id);

    memset(x->far_index, 0xff, ranks * sizeof(int32_t));
    memset(x->agree_index, 0xff, ranks * sizeof(int32_t));
    memset(x->hop_index, 0xff, (size_t)x->shape.members * sizeof(int32_t));
    if (st == EPX_OK && peers == NULL)
        st = EPX_ERR_NO_MEMORY;
    if (st == EPX_OK && x->base == NULL)
        x->base = epx_mem_alloc("window bases", (size_t)x->shape.members, sizeof(*x->base));
    if (st == EPX_OK && x->base == NULL)
        st = EPX_ERR_NO_MEMORY;
    if (st == EPX_OK)
        st = open_window(x, peers);
    if (st == EPX_OK)
        st = open_hop(x, peers);
    if (st == EPX_OK && x->shape.grid->num_nodes > 1)
        st = open_far(x, peers);
    epx_mem_free(peers);
    return st;
}

void epx_exchange_disconnect(epx_exchange *x)
{
    epx_port **ports[] = {&x->agree_port, &x->dispatch_port, &x->combine_port, &x->hop_port};
    size_t i;

    for (i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        if (*ports[i] != NULL)
            (*ports[i])->link->ops->port_close(*ports[i]);
        *ports[i] = NULL;
    }
    if (x->window != NULL)
        x->window->link->ops->window_close(x->window);
    x->window = NULL;
}

epx_status epx_exchange_remap(epx_exchange *x)
{
    int32_t *peers = epx_mem_alloc("exchange peers", (size_t)x->shape.members, sizeof(*peers));
    epx_control before;
    epx_status st;

    if (peers == NULL)
        return EPX_ERR_NO_MEMORY;
    memcpy(&before, epx_exchange_control(x, x->shape.local), sizeof(before));
    x->window->link->ops->window_close(x->window);
    x->window = NULL;
    st = open_window(x, peers);
    if (st == EPX_OK) /* sequence numbers go on */
        memcpy(epx_exchange_control(x, x->shape.local), &before, sizeof(before));
    epx_mem_free(peers);
    return st;
}

void epx_exchange_free(epx_exchange *x)
{
    epx_handle *h, *next;

    if (x == NULL)
        return;
    epx_exchange_disconnect(x);
    for (h = x->free_handles; h != NULL; h = next) {
        next = h->next;
        epx_handle_free(h);
    }
    epx_dispatch_close(x);
    epx_combine_close(x);
    epx_mem_free(x->base);
    epx_mem_free(x->far_index);
    epx_mem_free(x->agree_index);
    epx_mem_free(x->hop_index);
    epx_mem_free(x->agree.have);
    epx_mem_free(x->slot_pairs);
    epx_mem_free(x->rank_rows);
    epx_mem_free(x->first_rows);
    epx_mem_free(x->rank_pairs);
    epx_mem_free(x->verdict);
    epx_mem_free(x->next_output);
    epx_mem_free(x->next_row);
    epx_mem_free(x->acc);
    epx_mem_free(x->acc_node);
    epx_mem_free(x->rounded);
    epx_shape_close(&x->shape);
    epx_route_drop(x->route);
    epx_mem_free(x);
}

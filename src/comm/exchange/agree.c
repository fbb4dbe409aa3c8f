/* agree.c - sending, receiving and publishing tallies. */
#include "comm/exchange/agree.h"

#include <string.h>

#include "core/size.h"

static unsigned char *tally_at(const epx_exchange *x, int32_t s)
{
    const epx_shape *shape = &x->shape;
    size_t bytes = epx_shape_tally_bytes(shape, shape->node);
    int32_t keeper = shape->grid->local_of[epx_agree_target(shape->grid, s, shape->node)];
    size_t index = (size_t)(x->agree.sequence % 2) * (size_t)shape->grid->num_ranks + (size_t)s;

    return x->base[keeper] + shape->window.tallies + index * bytes;
}

const epx_tally *epx_agree_tally(const epx_exchange *x, int32_t s)
{
    return (const epx_tally *)(const void *)tally_at(x, s);
}

static uint32_t *via_at(const epx_exchange *x, int32_t local)
{
    return (uint32_t *)(void *)(x->base[local] + x->shape.window.via) +
           x->agree.sequence % 2 * (uint64_t)x->shape.members;
}

uint32_t epx_agree_via(const epx_exchange *x, int32_t from_local)
{
    return via_at(x, from_local)[x->shape.local];
}

/* The tally of this rank for a node. */
static size_t write_tally(const epx_exchange *x, int32_t node, void *at)
{
    const epx_shape *s = &x->shape;
    int32_t members = epx_grid_members(s->grid, node), slots = epx_shape_slots(s, node), l;
    size_t bytes = epx_tally_bytes(s->grid->num_ranks, members, slots);
    epx_tally_counts counts = epx_tally_view(at, s->grid->num_ranks, members);

    memcpy(at, x->verdict, sizeof(*x->verdict));
    ((epx_tally *)at)->sequence = x->agree.sequence;
    memcpy(counts.rank_pairs, x->rank_pairs, (size_t)s->grid->num_ranks * sizeof(uint32_t));
    for (l = 0; l < members; l++) {
        counts.rank_rows[l] = x->rank_rows[epx_grid_rank(s->grid, node, l)];
        counts.first_rows[l] = x->first_rows[epx_grid_rank(s->grid, node, l)];
    }
    memcpy(counts.slot_pairs, x->slot_pairs + s->node_begin[node],
           (size_t)slots * sizeof(uint32_t));
    epx_tally_seal(at, bytes);
    return bytes;
}

/* Chunks that an intra-first plan would send through each member. */
static void write_via(const epx_exchange *x)
{
    const epx_shape *s = &x->shape;
    uint32_t *via = via_at(x, s->local);
    int32_t rank;

    memset(via, 0, (size_t)s->members * sizeof(*via));
    for (rank = 0; rank < s->grid->num_ranks; rank++) {
        int32_t sigma = epx_plan_sigma(EPX_PLAN_INTRA_FIRST, s->grid, s->rank, rank);

        if (s->grid->node_of[rank] != s->node && sigma != s->rank)
            via[s->grid->local_of[sigma]] +=
                (uint32_t)epx_div_up(x->first_rows[rank], s->chunk_rows[EPX_PLAN_INTRA_FIRST]);
    }
}

void epx_agree_begin(epx_exchange *x)
{
    const epx_grid *grid = x->shape.grid;
    epx_agree *a = &x->agree;
    int32_t s;

    a->sequence++;
    a->published = false;
    a->sent_all = grid->num_nodes == 1;
    a->next_node = 0;
    a->missing = 0;
    for (s = 0; s < grid->num_ranks; s++) {
        a->have[s] = grid->node_of[s] == x->shape.node ||
                     epx_agree_target(grid, s, x->shape.node) != x->shape.rank;
        a->missing += !a->have[s];
    }
    write_tally(x, x->shape.node, tally_at(x, x->shape.rank));
    write_via(x);
}

static bool send_tallies(epx_exchange *x)
{
    const epx_grid *grid = x->shape.grid;
    const epx_link_ops *ops;
    epx_agree *a = &x->agree;
    bool did = false;

    for (; a->next_node < grid->num_nodes; a->next_node++) {
        /* the next node first, so that not all nodes send to node 0 at once */
        int32_t node = (x->shape.node + 1 + a->next_node) % grid->num_nodes, target, peer;
        void *slot;

        if (node == x->shape.node)
            continue;
        ops = x->agree_port->link->ops;
        target = epx_agree_target(grid, x->shape.rank, node);
        peer = x->agree_index[target];
        slot = ops->reserve(x->agree_port, peer);
        if (slot == NULL)
            return did;
        if (epx_exchange_broken(x, ops->put(x->agree_port, peer, write_tally(x, node, slot)),
                                target))
            return false;
        did = true;
    }
    a->sent_all = true;
    return did;
}

static bool take_tally(epx_exchange *x, int32_t s)
{
    const epx_shape *shape = &x->shape;
    const epx_link_ops *ops = x->agree_port->link->ops;
    size_t bytes, expected = epx_tally_bytes(shape->grid->num_ranks, shape->members,
                                             epx_shape_slots(shape, shape->node));
    const void *tally = ops->peek(x->agree_port, x->agree_index[s], &bytes);

    if (tally == NULL)
        return false;
    if (epx_exchange_broken(
            x, epx_tally_check(tally, bytes, expected, x->agree.sequence, x->route->epoch, s), s))
        return false;
    memcpy(tally_at(x, s), tally, bytes);
    if (epx_exchange_broken(x, ops->release(x->agree_port, x->agree_index[s]), s))
        return false;
    x->agree.have[s] = true;
    x->agree.missing--;
    return true;
}

bool epx_agree_step(epx_exchange *x)
{
    epx_agree *a = &x->agree;
    bool did = false;
    int32_t s;

    if (!a->sent_all)
        did = send_tallies(x);
    for (s = 0; s < x->shape.grid->num_ranks && a->missing > 0; s++)
        if (!a->have[s])
            did |= take_tally(x, s);
    if (a->missing == 0 && !a->published) {
        a->published = true;
        /* pairs with the acquire of epx_exchange_late_member: members see the tallies */
        atomic_store_explicit(&epx_exchange_control(x, x->shape.local)->agreed, a->sequence,
                              memory_order_release);
        epx_exchange_ring(x);
        did = true;
    }
    return did;
}

static int32_t late_member(const epx_exchange *x)
{
    return epx_exchange_late_member(x, offsetof(epx_control, agreed), x->agree.sequence);
}

bool epx_agree_done(const epx_exchange *x)
{
    return x->agree.sent_all && x->agree.published && late_member(x) < 0;
}

int32_t epx_agree_waits_for(const epx_exchange *x)
{
    const epx_grid *grid = x->shape.grid;
    int32_t i;

    for (i = 0; i < grid->num_ranks && x->agree.missing > 0; i++)
        if (!x->agree.have[i])
            return epx_exchange_root_rank(x, i);
    i = late_member(x);
    return i < 0 ? -1 : epx_exchange_root_rank(x, epx_grid_rank(grid, x->shape.node, i));
}

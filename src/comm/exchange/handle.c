/* handle.c - memory of handles, and what users may ask them. */
#include "comm/exchange/handle.h"

#include <string.h>

#include "comm/exchange/exchange.h"
#include "core/mem.h"
#include "core/size.h"
#include "core/structs.h"

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t epx_handle_room(const epx_shape *shape)
{
    return smaller((uint64_t)shape->members * shape->cfg.max_recv_rows,
                   (uint64_t)shape->grid->num_ranks * shape->cfg.max_tokens *
                       shape->pairs_per_token);
}

/* Rows of one source that leave its node. */
static uint64_t stream_rows(const epx_shape *shape)
{
    uint64_t targets = (uint64_t)shape->grid->num_nodes - 1;

    if (epx_shape_allows(shape, EPX_PLAN_FLAT))
        targets = (uint64_t)(shape->grid->num_ranks - shape->members);
    return shape->cfg.max_tokens * smaller(targets, shape->pairs_per_token);
}

static uint64_t own_slots(const epx_shape *shape)
{
    int32_t place = shape->grid->place[shape->rank];

    return (uint64_t)(shape->rank_begin[place + 1] - shape->rank_begin[place]);
}

static bool allocate_tables(epx_handle *h, const epx_shape *shape)
{
    size_t ranks = (size_t)shape->grid->num_ranks;

    h->streams = epx_mem_alloc("handle streams", ranks, sizeof(*h->streams));
    h->stream_to = epx_mem_alloc("handle streams", ranks, sizeof(*h->stream_to));
    h->in = epx_mem_alloc("handle streams", ranks, sizeof(*h->in));
    h->in_from = epx_mem_alloc("handle streams", ranks, sizeof(*h->in_from));
    h->rank_pairs = epx_mem_alloc("handle counts", ranks, sizeof(*h->rank_pairs));
    h->slot_begin = epx_mem_alloc("handle counts", own_slots(shape) + 1, sizeof(*h->slot_begin));
    return h->streams != NULL && h->stream_to != NULL && h->in != NULL && h->in_from != NULL &&
           h->rank_pairs != NULL && h->slot_begin != NULL;
}

static bool allocate_rows(epx_handle *h, const epx_shape *shape)
{
    size_t tokens = shape->cfg.max_tokens;

    h->pair_begin = epx_mem_alloc("handle tokens", tokens + 1, sizeof(*h->pair_begin));
    h->pairs = epx_mem_alloc("handle pairs", tokens * shape->pairs_per_token, sizeof(*h->pairs));
    h->rows = epx_mem_alloc("handle rows", stream_rows(shape), sizeof(*h->rows));
    h->room = epx_handle_room(shape);
    h->relay_rows = epx_mem_reserve("relay rows", h->room * sizeof(*h->relay_rows));
    h->places = epx_mem_reserve("relay places", h->room * sizeof(*h->places));
    return h->pair_begin != NULL && h->pairs != NULL && h->rows != NULL && h->relay_rows != NULL &&
           h->places != NULL;
}

epx_status epx_handle_new(epx_exchange *x, const epx_shape *shape, epx_handle **handle_out)
{
    epx_handle *h = epx_mem_alloc("handle", 1, sizeof(*h));

    if (h == NULL)
        return EPX_ERR_NO_MEMORY;
    h->x = x;
    if (!allocate_tables(h, shape) || !allocate_rows(h, shape)) {
        epx_handle_free(h);
        return EPX_ERR_NO_MEMORY;
    }
    *handle_out = h;
    return EPX_OK;
}

void epx_handle_free(epx_handle *h)
{
    if (h == NULL)
        return;
    epx_mem_free(h->streams);
    epx_mem_free(h->stream_to);
    epx_mem_free(h->in);
    epx_mem_free(h->in_from);
    epx_mem_free(h->rank_pairs);
    epx_mem_free(h->slot_begin);
    epx_mem_free(h->pair_begin);
    epx_mem_free(h->pairs);
    epx_mem_free(h->rows);
    epx_mem_release(h->relay_rows, h->room * sizeof(*h->relay_rows));
    epx_mem_release(h->places, h->room * sizeof(*h->places));
    epx_mem_free(h);
}

/* ---- the public side ------------------------------------------------------------------------ */

void epx_handle_retain(epx_handle *h)
{
    epx_root_enter(h->x->root);
    h->refs++;
    epx_root_leave(h->x->root);
}

void epx_handle_release(epx_handle *h)
{
    epx_root *root;

    if (h == NULL)
        return;
    root = h->x->root;
    epx_root_enter(root);
    epx_exchange_put_handle(h->x, h);
    epx_root_leave(root);
}

uint64_t epx_handle_epoch(const epx_handle *h)
{
    return h->epoch;
}

epx_plan epx_handle_plan(const epx_handle *h)
{
    return h->plan;
}

static double imbalance(const epx_handle *h, int32_t ranks)
{
    uint64_t most = 0, sum = 0;
    int32_t i;

    for (i = 0; i < ranks; i++) {
        sum += h->rank_pairs[i];
        if (h->rank_pairs[i] > most)
            most = h->rank_pairs[i];
    }
    return sum == 0 ? 1 : (double)most * ranks / (double)sum;
}

epx_status epx_handle_counts(const epx_handle *h, epx_handle_counts_out *out)
{
    if (h == NULL || out == NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_handle_counts: NULL argument");
    if (!h->agreed)
        return epx_fail(EPX_ERR_BUSY, "epx_handle_counts: the dispatch has not been finished");
    out->num_tokens = h->num_tokens;
    out->num_pairs = h->num_pairs;
    out->num_rows = h->num_rows;
    out->rank_pairs = h->rank_pairs;
    out->node_rows = h->totals.far_node_rows;
    out->rank_rows = h->totals.rank_rows;
    out->imbalance = imbalance(h, h->x->shape.grid->num_ranks);
    return EPX_OK;
}

/* count.c - validation of a routing, replica choice, pairs in tree order, counts.
 *
 * Ranks and nodes are counted once per token however many of its experts they hold: what travels is
 * deduplicated. */
#include "comm/exchange/count.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static epx_status check_token(const epx_exchange *x, const epx_dispatch_in *in, uint64_t token,
                              uint32_t j)
{
    int32_t id = in->ids[token * in->topk + j];

    if (id < -1 || id >= x->shape.cfg.num_experts)
        return epx_fail(EPX_ERR_BAD_ROUTING,
                        "rank %d: expert %d of token %llu, entry %u is not "
                        "in -1..%d",
                        x->shape.rank, id, (unsigned long long)token, j,
                        x->shape.cfg.num_experts - 1);
    if (in->weights != NULL && !isfinite(in->weights[token * in->topk + j]))
        return epx_fail(EPX_ERR_BAD_ROUTING,
                        "rank %d: weight %g of token %llu, entry %u is not "
                        "finite",
                        x->shape.rank, (double)in->weights[token * in->topk + j],
                        (unsigned long long)token, j);
    return EPX_OK;
}

static epx_status check_routing(const epx_exchange *x, const epx_dispatch_in *in)
{
    epx_status st = EPX_OK;
    uint64_t token;
    uint32_t j;

    for (token = 0; token < in->num_tokens; token++)
        for (j = 0; j < in->topk && st == EPX_OK; j++)
            st = check_token(x, in, token, j);
    return st;
}

/* Insertion into ascending positions; equal ones keep the order of the token's list. */
static void insert_pair(epx_pair *pairs, uint32_t count, epx_pair pair)
{
    uint32_t i = count;

    for (; i > 0 && pairs[i - 1].position > pair.position; i--)
        pairs[i] = pairs[i - 1];
    pairs[i] = pair;
}

static uint32_t collect_pairs(const epx_exchange *x, const epx_dispatch_in *in, uint64_t token,
                              epx_pair *pairs)
{
    int32_t slots[EPX_MAX_SHARDS], count, i;
    uint32_t total = 0, j;

    for (j = 0; j < in->topk; j++) {
        uint64_t at = token * in->topk + j;

        if (in->ids[at] < 0)
            continue;
        count = epx_route_slots(x->route, in->ids[at], x->shape.rank, x->shape.grid->node_of, token,
                                slots);
        for (i = 0; i < count; i++) {
            epx_pair pair = {.position = (uint32_t)x->shape.position_of[slots[i]],
                             .weight = in->weights != NULL ? in->weights[at] : 1.0f,
                             .side = in->side != NULL ? in->side[at] : 0.0f,
                             .entry = j};

            insert_pair(pairs, total++, pair);
        }
    }
    return total;
}

static void count_token(epx_exchange *x, epx_pair *pairs, uint32_t count)
{
    const epx_shape *s = &x->shape;
    int32_t rank = -1, node = -1;
    uint32_t i;

    for (i = 0; i < count; i++) {
        int32_t to = s->position_rank[pairs[i].position];
        bool far = s->grid->node_of[to] != s->node;

        if (s->grid->node_of[to] != node) {
            node = s->grid->node_of[to];
            x->first_rows[to]++;
            x->verdict->far_node_rows += far;
        }
        if (to != rank) {
            rank = to;
            x->rank_rows[to]++;
            x->verdict->rank_rows++;
            x->verdict->far_rank_rows += far;
        }
        x->rank_pairs[to]++;
        pairs[i].row = x->rank_rows[to] - 1;
        pairs[i].index = x->slot_pairs[pairs[i].position]++;
    }
}

static void clear_counts(epx_exchange *x, const epx_dispatch_in *in)
{
    size_t ranks = (size_t)x->shape.grid->num_ranks;

    memset(x->slot_pairs, 0, (size_t)x->shape.route->num_slots * sizeof(uint32_t));
    memset(x->rank_rows, 0, ranks * sizeof(uint32_t));
    memset(x->first_rows, 0, ranks * sizeof(uint32_t));
    memset(x->rank_pairs, 0, ranks * sizeof(uint32_t));
    memset(x->verdict, 0, sizeof(*x->verdict));
    x->verdict->source = x->shape.rank;
    x->verdict->epoch = x->route->epoch;
    x->verdict->num_tokens = in->num_tokens;
}

epx_status epx_count_pairs(epx_exchange *x, epx_handle *h, const epx_dispatch_in *in,
                           epx_status before)
{
    epx_status st = before;
    uint32_t total = 0;
    uint64_t token;

    clear_counts(x, in);
    if (st == EPX_OK)
        st = check_routing(x, in);
    if (st != EPX_OK) {
        x->verdict->status = st;
        x->verdict->num_tokens = 0;
        snprintf(x->verdict->text, sizeof(x->verdict->text), "%.*s",
                 (int)sizeof(x->verdict->text) - 1, epx_last_error());
        return st;
    }
    h->num_tokens = in->num_tokens;
    h->topk = in->topk;
    for (token = 0; token < in->num_tokens; token++) {
        uint32_t count = collect_pairs(x, in, token, h->pairs + total);

        h->pair_begin[token] = total;
        count_token(x, h->pairs + total, count);
        total += count;
    }
    h->pair_begin[in->num_tokens] = total;
    return EPX_OK;
}

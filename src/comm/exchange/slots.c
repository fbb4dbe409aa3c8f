/* slots.c - see slots.h. */
#include "comm/exchange/slots.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "comm/exchange/agree.h"
#include "core/size.h"

static void reject(epx_handle *h, epx_status status, const char *format, ...) EPX_PRINTF(3, 4);

static void reject(epx_handle *h, epx_status status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(h->error, sizeof(h->error), format, args);
    va_end(args);
    h->status = status;
}

/* Totals of all ranks, and the first bad verdict. */
static void sum_tallies(epx_exchange *x, epx_handle *h)
{
    const epx_grid *grid = x->shape.grid;
    int32_t s, d;

    memset(&h->totals, 0, sizeof(h->totals));
    memset(h->rank_pairs, 0, (size_t)grid->num_ranks * sizeof(*h->rank_pairs));
    for (s = 0; s < grid->num_ranks; s++) {
        const epx_tally *tally = epx_agree_tally(x, s);
        epx_tally_counts counts = epx_tally_view(tally, grid->num_ranks, x->shape.members);

        if (tally->status != EPX_OK && h->status == EPX_OK)
            reject(h, (epx_status)tally->status, "%.*s", (int)sizeof(tally->text), tally->text);
        h->totals.far_node_rows += tally->far_node_rows;
        h->totals.far_rank_rows += tally->far_rank_rows;
        h->totals.rank_rows += tally->rank_rows;
        for (d = 0; d < grid->num_ranks; d++)
            h->rank_pairs[d] += counts.rank_pairs[d];
    }
}

static void check_capacity(const epx_exchange *x, epx_handle *h)
{
    int32_t worst = 0, d;

    for (d = 1; d < x->shape.grid->num_ranks; d++)
        if (h->rank_pairs[d] > h->rank_pairs[worst])
            worst = d;
    if (h->rank_pairs[worst] > x->shape.cfg.max_recv_rows)
        reject(h, EPX_ERR_CAPACITY,
               "rank %d would receive %llu rows, the window holds %llu: "
               "epx_exchange_grow(x, %llu)",
               worst, (unsigned long long)h->rank_pairs[worst],
               (unsigned long long)x->shape.cfg.max_recv_rows,
               (unsigned long long)h->rank_pairs[worst]);
}

static void choose_plan(const epx_exchange *x, epx_handle *h)
{
    h->plan = (epx_plan)x->shape.cfg.plan;
    if (h->plan == EPX_PLAN_AUTO)
        h->plan = epx_plan_choose(x->shape.grid, &h->totals,
                                  x->shape.cfg.row_bytes + x->shape.cfg.scale_bytes,
                                  x->shape.slot_bytes, &epx_plan_default_model);
}

/* ---- the source's streams ------------------------------------------------------------------- */

static void add_stream(const epx_exchange *x, epx_handle *h, int32_t rho, uint32_t rows)
{
    const epx_grid *grid = x->shape.grid;
    epx_stream *last = h->num_streams > 0 ? &h->streams[h->num_streams - 1] : NULL;
    epx_stream stream = {.rho = rho,
                         .sigma = epx_plan_sigma(h->plan, grid, x->shape.rank, rho),
                         .node = grid->node_of[rho],
                         .num_rows = rows};

    if (rows == 0)
        return;
    stream.num_chunks = (uint32_t)epx_div_up(rows, x->shape.chunk_rows[h->plan]);
    if (last != NULL) {
        stream.first_row = last->first_row + last->num_rows;
        stream.first_chunk = last->first_chunk + last->num_chunks;
    }
    h->stream_to[rho] = h->num_streams;
    h->streams[h->num_streams++] = stream;
}

/* Rows of this rank for relay rho: known from its own counts. */
static uint32_t rows_for(const epx_exchange *x, epx_plan plan, int32_t rho)
{
    const epx_grid *grid = x->shape.grid;
    int32_t node = grid->node_of[rho], l;
    uint32_t rows = 0;

    if (plan == EPX_PLAN_FLAT)
        return x->rank_rows[rho];
    if (plan == EPX_PLAN_INTRA_FIRST)
        return x->first_rows[rho];
    if (epx_plan_rho(plan, grid, x->shape.rank, node, -1) != rho)
        return 0;
    for (l = 0; l < epx_grid_members(grid, node); l++)
        rows += x->first_rows[epx_grid_rank(grid, node, l)];
    return rows;
}

/* The next node first, and in it the own index first: no rank is everybody's first target. */
static void make_streams(const epx_exchange *x, epx_handle *h)
{
    const epx_grid *grid = x->shape.grid;
    int32_t i, l, rank;

    h->num_streams = 0;
    for (rank = 0; rank < grid->num_ranks; rank++)
        h->stream_to[rank] = -1;
    for (i = 1; i < grid->num_nodes; i++) {
        int32_t node = (x->shape.node + i) % grid->num_nodes;
        int32_t members = epx_grid_members(grid, node);

        for (l = 0; l < members; l++) {
            rank = epx_grid_rank(grid, node, (x->shape.local + l) % members);
            add_stream(x, h, rank, rows_for(x, h->plan, rank));
        }
    }
}

static void append_row(const epx_exchange *x, epx_handle *h, uint32_t *filled, int32_t first,
                       const epx_stream_row *row)
{
    int32_t rho =
        epx_plan_rho(h->plan, x->shape.grid, x->shape.rank, x->shape.grid->node_of[first], first);
    int32_t stream = h->stream_to[rho];

    h->rows[h->streams[stream].first_row + filled[stream]++] = *row;
}

/* Ends of the run of pairs from `begin` that share a node (by_rank false) or a rank. */
static uint32_t run_end(const epx_exchange *x, const epx_handle *h, uint32_t begin, uint32_t end,
                        bool by_rank)
{
    const int32_t *rank_of = x->shape.position_rank, *node_of = x->shape.grid->node_of;
    int32_t rank = rank_of[h->pairs[begin].position];
    uint32_t i = begin + 1;

    for (; i < end; i++) {
        int32_t other = rank_of[h->pairs[i].position];

        if (by_rank ? other != rank : node_of[other] != node_of[rank])
            break;
    }
    return i;
}

static void fill_token(const epx_exchange *x, epx_handle *h, uint32_t token, uint32_t *filled)
{
    uint32_t at = h->pair_begin[token], end = h->pair_begin[token + 1], node_end, rank_end;

    for (; at < end; at = node_end) {
        int32_t first = x->shape.position_rank[h->pairs[at].position];

        node_end = run_end(x, h, at, end, false);
        if (x->shape.grid->node_of[first] == x->shape.node)
            continue;
        if (h->plan != EPX_PLAN_FLAT) {
            epx_stream_row row = {.token = token, .pair = at, .pairs = (uint16_t)(node_end - at)};

            append_row(x, h, filled, first, &row);
            continue;
        }
        for (rank_end = at; rank_end < node_end;) {
            epx_stream_row row = {.token = token, .pair = rank_end};

            first = x->shape.position_rank[h->pairs[rank_end].position];
            rank_end = run_end(x, h, rank_end, node_end, true);
            row.pairs = (uint16_t)(rank_end - row.pair);
            row.alone = row.pair == at && rank_end == node_end;
            append_row(x, h, filled, first, &row);
        }
    }
}

static void fill_streams(epx_exchange *x, epx_handle *h)
{
    uint32_t *filled = x->dispatch.sent; /* free until chunks move */
    uint64_t token;

    make_streams(x, h);
    memset(filled, 0, (size_t)x->shape.grid->num_ranks * sizeof(*filled));
    for (token = 0; token < h->num_tokens; token++)
        fill_token(x, h, (uint32_t)token, filled);
    memset(filled, 0, (size_t)x->shape.grid->num_ranks * sizeof(*filled));
}

/* ---- the relay's streams -------------------------------------------------------------------- */

/* Rows of source s that end at this rank, from its tally. */
static uint32_t rows_from(const epx_exchange *x, epx_plan plan, int32_t s)
{
    const epx_shape *shape = &x->shape;
    epx_tally_counts counts =
        epx_tally_view(epx_agree_tally(x, s), shape->grid->num_ranks, shape->members);
    uint32_t rows = 0;
    int32_t l;

    if (shape->grid->node_of[s] != shape->node) {
        if (plan == EPX_PLAN_FLAT)
            return counts.rank_rows[shape->local];
        if (plan == EPX_PLAN_INTRA_FIRST)
            return counts.first_rows[shape->local];
        if (epx_plan_rho(plan, shape->grid, s, shape->node, -1) != shape->rank)
            return 0;
    } else if (s != shape->rank) {
        return 0; /* its own affair */
    }
    for (l = 0; l < shape->members; l++)
        rows += counts.first_rows[l];
    return rows;
}

static void make_in_streams(const epx_exchange *x, epx_handle *h)
{
    const epx_grid *grid = x->shape.grid;
    int32_t i, s;

    h->num_in = 0;
    for (i = 0; i < grid->num_ranks; i++)
        h->in_from[i] = -1;
    for (i = 0; i < grid->num_ranks; i++) { /* the own one first */
        epx_in_stream in = {.first_row = 0};
        const epx_in_stream *last = h->num_in > 0 ? &h->in[h->num_in - 1] : NULL;

        s = i == 0 ? x->shape.rank : grid->order[i - (i <= grid->place[x->shape.rank])];
        in.source = s;
        in.sigma = epx_plan_sigma(h->plan, grid, s, x->shape.rank);
        in.num_rows = rows_from(x, h->plan, s);
        in.first_row = last != NULL ? last->first_row + last->num_rows : 0;
        if (s != x->shape.rank)
            in.num_chunks = (uint32_t)epx_div_up(in.num_rows, x->shape.chunk_rows[h->plan]);
        if (in.num_rows == 0 && s != x->shape.rank)
            continue;
        h->in_from[s] = h->num_in;
        h->in[h->num_in++] = in;
    }
    h->num_places = 0;
    h->forward_chunks = 0;
    for (i = 0; i < x->shape.members && h->plan == EPX_PLAN_INTRA_FIRST; i++)
        if (i != x->shape.local)
            h->forward_chunks += epx_agree_via(x, i);
}

/* ---- prefix sums ---------------------------------------------------------------------------- */

/* First output of every slot of the node: slots of a member follow each other. */
static void start_outputs(const epx_exchange *x, uint32_t *first)
{
    const epx_shape *s = &x->shape;
    int32_t slots = epx_shape_slots(s, s->node), slot, source;
    uint32_t at = 0;

    for (slot = 0; slot < slots; slot++) {
        if (slot > 0 && s->slot_local[slot] != s->slot_local[slot - 1])
            at = 0;
        first[slot] = at;
        for (source = 0; source < s->grid->num_ranks; source++)
            at += epx_tally_view(epx_agree_tally(x, source), s->grid->num_ranks, s->members)
                      .slot_pairs[slot];
    }
}

static void prefix_sums(epx_exchange *x)
{
    const epx_shape *s = &x->shape;
    size_t slots = (size_t)epx_shape_slots(s, s->node), members = (size_t)s->members, k;
    uint32_t *output, *row; /* of the source before */
    int32_t place;

    start_outputs(x, x->next_output + (size_t)s->grid->order[0] * slots);
    memset(x->next_row + (size_t)s->grid->order[0] * members, 0, members * sizeof(*row));
    for (place = 0; place < s->grid->num_ranks; place++) {
        int32_t source = s->grid->order[place];
        epx_tally_counts counts =
            epx_tally_view(epx_agree_tally(x, source), s->grid->num_ranks, s->members);
        int32_t next = place + 1 < s->grid->num_ranks ? s->grid->order[place + 1] : -1;

        output = x->next_output + (size_t)source * slots;
        row = x->next_row + (size_t)source * members;
        if (next < 0)
            break;
        for (k = 0; k < slots; k++)
            x->next_output[(size_t)next * slots + k] = output[k] + counts.slot_pairs[k];
        for (k = 0; k < members; k++)
            x->next_row[(size_t)next * members + k] = row[k] + counts.rank_rows[k];
    }
}

static void count_own(const epx_exchange *x, epx_handle *h)
{
    const epx_shape *s = &x->shape;
    int32_t place = s->grid->place[s->rank], source, slot;
    int32_t first = s->rank_begin[place] - s->node_begin[s->node];
    int32_t count = s->rank_begin[place + 1] - s->rank_begin[place];

    h->num_rows = 0;
    memset(h->slot_begin, 0, ((size_t)count + 1) * sizeof(*h->slot_begin));
    for (source = 0; source < s->grid->num_ranks; source++) {
        epx_tally_counts counts =
            epx_tally_view(epx_agree_tally(x, source), s->grid->num_ranks, s->members);

        h->num_rows += counts.rank_rows[s->local];
        for (slot = 0; slot < count; slot++)
            h->slot_begin[slot + 1] += counts.slot_pairs[first + slot];
    }
    for (slot = 0; slot < count; slot++)
        h->slot_begin[slot + 1] += h->slot_begin[slot];
    h->num_pairs = h->slot_begin[count];
    if (s->cfg.layout == EPX_LAYOUT_EXPERT)
        h->num_rows = h->num_pairs;
}

/* What the counts promise must fit what was allocated: counts of an honest job do. */
static bool fits(epx_exchange *x, epx_handle *h)
{
    const epx_in_stream *last = &h->in[h->num_in - 1];
    uint64_t rows = (uint64_t)last->first_row + last->num_rows;

    if (h->num_pairs == h->rank_pairs[x->shape.rank] && rows <= h->room)
        return true;
    epx_exchange_broken(x,
                        epx_fail(EPX_ERR_MISMATCH,
                                 "counts disagree: %llu pairs by slot, %llu by "
                                 "rank, %llu rows to relay",
                                 (unsigned long long)h->num_pairs,
                                 (unsigned long long)h->rank_pairs[x->shape.rank],
                                 (unsigned long long)rows),
                        -1);
    return false;
}

void epx_slots_assign(epx_exchange *x, epx_handle *h)
{
    h->status = EPX_OK;
    h->epoch = x->route->epoch;
    sum_tallies(x, h);
    if (h->status == EPX_OK)
        check_capacity(x, h);
    count_own(x, h);
    choose_plan(x, h);
    h->agreed = true;
    if (h->status != EPX_OK)
        return;
    fill_streams(x, h);
    make_in_streams(x, h);
    if (fits(x, h))
        prefix_sums(x);
}

/* sum.c - see sum.h. */
#include "comm/exchange/sum.h"

#include <string.h>

#include "comm/exchange/inbox.h"
#include "comm/exchange/partial.h"
#include "kernels/reduce.h"

/* One node's, or in flat one rank's, part of a token: a run of its pairs. */
typedef struct part {
    uint32_t pair, pairs;
    int32_t node;
    int32_t stream; /* -1: the own node */
} part;

typedef struct token_parts {
    uint32_t count;
    part parts[UINT8_MAX];
} token_parts;

static void split_token(const epx_combine_op *op, uint64_t token, token_parts *out)
{
    const epx_exchange *x = op->x;
    const epx_handle *h = op->h;
    const int32_t *node_of = x->shape.grid->node_of;
    uint32_t i;

    out->count = 0;
    for (i = h->pair_begin[token]; i < h->pair_begin[token + 1]; i++) {
        int32_t rank = x->shape.position_rank[h->pairs[i].position], node = node_of[rank];
        part *last = out->count > 0 ? &out->parts[out->count - 1] : NULL;
        bool own = node == x->shape.node;
        bool same = last != NULL && last->node == node &&
                    (own || h->plan != EPX_PLAN_FLAT || last->stream == h->stream_to[rank]);

        if (same) {
            last->pairs++;
            continue;
        }
        out->parts[out->count++] =
            (part){.pair = i,
                   .pairs = 1,
                   .node = node,
                   .stream = own ? -1
                                 : h->stream_to[epx_plan_rho(h->plan, x->shape.grid, x->shape.rank,
                                                             node, rank)]};
    }
}

/* ---- chunks of a stream --------------------------------------------------------------------- */

static uint32_t current_chunk(const epx_combine_op *op, int32_t stream)
{
    return op->consumed[stream] / op->x->shape.chunk_rows[op->h->plan];
}

/* intra-first: chunks come back through the return area of the own window. */
static const epx_frame *returned_chunk(const epx_combine_op *op, const epx_stream *stream,
                                       uint32_t chunk)
{
    const epx_exchange *x = op->x;
    const epx_window_layout *w = &x->shape.window;
    const unsigned char *own = x->base[x->shape.local];
    size_t number = (size_t)stream->first_chunk + chunk;
    atomic_uint *flag = (atomic_uint *)(void *)(uintptr_t)(own + w->return_flags) + number;

    /* pairs with the release of the member that stored the chunk */
    if (atomic_load_explicit(flag, memory_order_acquire) != (uint32_t)x->combines)
        return NULL;
    return (const epx_frame *)(const void *)(own + w->return_chunks_at +
                                             number * x->shape.slot_bytes);
}

static const epx_frame *stream_chunk(const epx_combine_op *op, int32_t index)
{
    const epx_stream *stream = &op->h->streams[index];

    if (op->h->plan == EPX_PLAN_INTRA_FIRST)
        return returned_chunk(op, stream, current_chunk(op, index));
    return epx_inbox_peek(op->x, op->x->combine_port, op->x->far_index[stream->rho],
                          EPX_FRAME_COMBINE, op->x->combines, stream->rho);
}

/* The chunk must be the expected one; its payload is checked before its first row is used. */
static bool accept_chunk(epx_combine_op *op, int32_t index, const epx_frame *frame)
{
    const epx_stream *stream = &op->h->streams[index];
    uint32_t per_chunk = op->x->shape.chunk_rows[op->h->plan], chunk = current_chunk(op, index);
    uint32_t left = stream->num_rows - chunk * per_chunk;

    if (op->offset[index] != 0)
        return true;
    if (frame->source != op->x->shape.rank || frame->relay != stream->rho ||
        frame->chunk != chunk || frame->rows != (left < per_chunk ? left : per_chunk))
        return !epx_exchange_broken(
            op->x,
            epx_fail(EPX_ERR_CORRUPT, "rank %d returned channel %u of combine %llu, expected %u",
                     stream->rho, frame->chunk, (unsigned long long)frame->sequence, chunk),
            stream->rho);
    return epx_inbox_verify(op->x, frame, stream->rho);
}

/* The next row of a stream, `bytes` long; NULL: broken. */
static const unsigned char *take_row(epx_combine_op *op, int32_t index, size_t bytes)
{
    const epx_frame *frame = stream_chunk(op, index);
    const unsigned char *row;

    if (frame == NULL || !accept_chunk(op, index, frame))
        return NULL;
    if (op->offset[index] + bytes > frame->bytes) {
        epx_exchange_broken(op->x,
                            epx_fail(EPX_ERR_CORRUPT, "rank %d returned a short channel %u",
                                     frame->relay, frame->chunk),
                            frame->relay);
        return NULL;
    }
    row = (const unsigned char *)(frame + 1) + op->offset[index];
    op->offset[index] += (uint32_t)bytes;
    return row;
}

/* After a row has been used: at the end of a chunk its slot goes back. */
static void leave_row(epx_combine_op *op, int32_t index)
{
    const epx_stream *stream = &op->h->streams[index];
    epx_port *port = op->x->combine_port;

    op->consumed[index]++;
    if (op->consumed[index] % op->x->shape.chunk_rows[op->h->plan] != 0 &&
        op->consumed[index] != stream->num_rows)
        return;
    op->offset[index] = 0;
    if (op->h->plan != EPX_PLAN_INTRA_FIRST)
        epx_exchange_broken(op->x, port->link->ops->release(port, op->x->far_index[stream->rho]),
                            stream->rho);
}

/* ---- values --------------------------------------------------------------------------------- */

static void add_side(epx_combine_op *op, uint64_t token, const epx_pair *pair, float value)
{
    if (op->out_side != NULL)
        op->out_side[token * op->h->topk + pair->entry] += value;
}

static void read_sides(epx_combine_op *op, uint64_t token, const part *p, const unsigned char *at)
{
    uint32_t i;
    float value;

    for (i = 0; i < p->pairs && op->x->shape.cfg.side_channel != 0; i++) {
        memcpy(&value, at + i * sizeof(value), sizeof(value));
        add_side(op, token, &op->h->pairs[p->pair + i], value);
    }
}

static void own_sides(epx_combine_op *op, uint64_t token, const part *p, const epx_relay_row *row)
{
    const epx_exchange *x = op->x;
    const epx_place *places = op->h->places + row->place;
    uint32_t i;
    float value;

    for (i = 0; i < p->pairs && x->shape.cfg.side_channel != 0; i++) {
        memcpy(&value,
               epx_exchange_outputs(x, places[i].local, op->output_set) +
                   x->shape.window.output_side + places[i].output * sizeof(float),
               sizeof(value));
        add_side(op, token, &op->h->pairs[p->pair + i], value);
    }
}

/* The own node's value, rounded, into x->rounded. */
static void own_value(epx_combine_op *op, uint64_t token, const part *p)
{
    const epx_exchange *x = op->x;
    const epx_relay_row *row = &op->h->relay_rows[op->own_row++];

    epx_partial_sum(op, row, x->acc_node);
    epx_round_row(x->acc_node, (epx_type)x->shape.cfg.combine_type, x->shape.cfg.combine_elems,
                  x->rounded);
    own_sides(op, token, p, row);
}

/* A part that comes as a rounded value: adds it to the token's sum. */
static void add_value(const epx_exchange *x, const void *value, bool first)
{
    epx_type type = (epx_type)x->shape.cfg.combine_type;

    if (first)
        epx_widen_row(value, type, x->shape.cfg.combine_elems, x->acc);
    else
        epx_add_row(value, type, x->shape.cfg.combine_elems, x->acc);
}

static bool far_value(epx_combine_op *op, uint64_t token, const part *p, bool first)
{
    const epx_exchange *x = op->x;
    size_t bytes = epx_partial_row_bytes(&x->shape, true, p->pairs);
    const unsigned char *row = take_row(op, p->stream, bytes);

    if (row == NULL)
        return false;
    add_value(x, row, first);
    read_sides(op, token, p, row + epx_partial_row_bytes(&x->shape, true, 0));
    leave_row(op, p->stream);
    return true;
}

/* flat: several ranks of one node, FP32 each; their sum is rounded once. */
static bool far_ranks(epx_combine_op *op, uint64_t token, const part *p, uint32_t count, bool first)
{
    const epx_exchange *x = op->x;
    uint32_t elems = x->shape.cfg.combine_elems, i;

    for (i = 0; i < count; i++) {
        size_t bytes = epx_partial_row_bytes(&x->shape, false, p[i].pairs);
        const unsigned char *row = take_row(op, p[i].stream, bytes);

        if (row == NULL)
            return false;
        if (i == 0)
            memcpy(x->acc_node, row, elems * sizeof(float));
        else
            epx_add_floats((const float *)(const void *)row, elems, x->acc_node);
        read_sides(op, token, &p[i], row + epx_partial_row_bytes(&x->shape, false, 0));
        leave_row(op, p[i].stream);
    }
    epx_round_row(x->acc_node, (epx_type)x->shape.cfg.combine_type, elems, x->rounded);
    add_value(x, x->rounded, first);
    return true;
}

/* Parts of the same far node that follow p; 1 unless flat. */
static uint32_t ranks_of_node(const token_parts *t, uint32_t at)
{
    uint32_t count = 1;

    while (at + count < t->count && t->parts[at + count].node == t->parts[at].node)
        count++;
    return count;
}

static bool all_here(epx_combine_op *op, const token_parts *t)
{
    uint32_t i;

    for (i = 0; i < t->count; i++)
        if (t->parts[i].stream >= 0 && stream_chunk(op, t->parts[i].stream) == NULL)
            return false;
    return true;
}

static bool sum_parts(epx_combine_op *op, uint64_t token, const token_parts *t)
{
    uint32_t i, count;

    for (i = 0; i < t->count; i += count) {
        const part *p = &t->parts[i];
        bool ok = true;

        count = ranks_of_node(t, i);
        if (p->stream < 0) {
            own_value(op, token, p);
            add_value(op->x, op->x->rounded, i == 0);
        } else if (count == 1) {
            ok = far_value(op, token, p, i == 0);
        } else {
            ok = far_ranks(op, token, p, count, i == 0);
        }
        if (!ok)
            return false;
    }
    return true;
}

bool epx_sum_token(epx_combine_op *op)
{
    const epx_exchange *x = op->x;
    const epx_exchange_config *cfg = &x->shape.cfg;
    size_t row_bytes = cfg->combine_elems * x->shape.elem_bytes;
    unsigned char *out = op->out_rows + op->token * row_bytes;
    uint64_t token = op->token;
    token_parts t;

    split_token(op, token, &t);
    if (!all_here(op, &t))
        return false;
    if (op->out_side != NULL)
        memset(op->out_side + token * op->h->topk, 0, op->h->topk * sizeof(float));
    if (t.count == 0)
        memset(out, 0, row_bytes);
    else if (!sum_parts(op, token, &t))
        return false;
    else
        epx_round_row(x->acc, (epx_type)cfg->combine_type, cfg->combine_elems, out);
    op->token++;
    return true;
}

int32_t epx_sum_waits_for(const epx_combine_op *op, uint32_t *chunk_out)
{
    token_parts t;
    uint32_t i;

    split_token(op, op->token, &t);
    for (i = 0; i < t.count; i++)
        if (t.parts[i].stream >= 0 && stream_chunk(op, t.parts[i].stream) == NULL) {
            *chunk_out = current_chunk(op, t.parts[i].stream);
            return epx_exchange_root_rank(op->x, op->h->streams[t.parts[i].stream].rho);
        }
    return -1;
}

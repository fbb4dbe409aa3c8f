/* place.c - see place.h. */
#include "comm/exchange/place.h"

#include <string.h>

#include "comm/exchange/wire.h"
#include "core/size.h"

/* Where one pair goes; false when hostile metadata points outside of the window. */
static bool decide(epx_exchange *x, int32_t source, const epx_wire_meta *meta, uint32_t i,
                   uint32_t run, epx_place *place)
{
    const epx_shape *s = &x->shape;
    size_t slots = (size_t)epx_shape_slots(s, s->node), members = (size_t)s->members;
    uint16_t slot = meta->slot[i], local = s->slot_local[slot];
    uint32_t *output = &x->next_output[(size_t)source * slots + slot];
    uint32_t *row = &x->next_row[(size_t)source * members + local];

    place->local = local;
    place->weight = meta->weight[i];
    if (meta->index != NULL) {
        place->output = *output + meta->index[i];
        place->row = *row + meta->row[run];
    } else {
        place->output = (*output)++;
        place->row = *row; /* the caller moves it on at the end of the run */
    }
    return place->output < s->cfg.max_recv_rows && place->row < s->cfg.max_recv_rows;
}

/* Writes down the places of a row's pairs. */
static bool remember(epx_exchange *x, epx_handle *h, int32_t source, const epx_wire_meta *meta,
                     epx_relay_row *row)
{
    const uint16_t *local_of = x->shape.slot_local;
    uint32_t i, run = 0;

    if (h->num_places + meta->head.pairs > h->room)
        return false;
    row->token = meta->head.token;
    row->alone = meta->head.alone;
    row->place = (uint32_t)h->num_places;
    row->places = meta->head.pairs;
    for (i = 0; i < meta->head.pairs; i++) {
        bool last =
            i + 1 == meta->head.pairs || local_of[meta->slot[i + 1]] != local_of[meta->slot[i]];

        if (!decide(x, source, meta, i, run, &h->places[h->num_places++]))
            return false;
        if (last && meta->row == NULL)
            x->next_row[(size_t)source * (size_t)x->shape.members + local_of[meta->slot[i]]]++;
        run += last;
    }
    return true;
}

static void write_row(const epx_exchange *x, unsigned char *set, uint32_t row, int32_t source,
                      uint32_t token, const unsigned char *payload, const unsigned char *scales)
{
    const epx_exchange_config *cfg = &x->shape.cfg;
    const epx_window_layout *w = &x->shape.window;

    memcpy(set + w->rows + (size_t)row * cfg->row_bytes, payload, cfg->row_bytes);
    if (cfg->scale_bytes != 0)
        memcpy(set + w->scales + (size_t)row * cfg->scale_bytes, scales, cfg->scale_bytes);
    ((uint32_t *)(void *)(set + w->row_source))[row] = (uint32_t)source;
    ((uint32_t *)(void *)(set + w->row_token))[row] = token;
}

/* One row to all its pairs: a copy per rank (token layout) or per pair (expert layout). */
static void write_places(const epx_exchange *x, const epx_handle *h, int32_t source,
                         const epx_relay_row *row, const unsigned char *payload,
                         const unsigned char *scales, const float *side)
{
    const epx_window_layout *w = &x->shape.window;
    const epx_place *places = h->places + row->place;
    bool by_expert = x->shape.cfg.layout == EPX_LAYOUT_EXPERT;
    uint32_t i;

    for (i = 0; i < row->places; i++) {
        unsigned char *set = epx_exchange_set(x, places[i].local, h->sequence);
        uint32_t output = places[i].output, at = by_expert ? output : places[i].row;

        if (by_expert || i == 0 || places[i].local != places[i - 1].local)
            write_row(x, set, at, source, row->token, payload, scales);
        ((uint32_t *)(void *)(set + w->pair_row))[output] = at;
        ((float *)(void *)(set + w->pair_weight))[output] = places[i].weight;
        if (x->shape.cfg.side_channel)
            ((float *)(void *)(set + w->pair_side))[output] = side[i];
    }
}

static bool malformed(epx_dispatch_op *op, const epx_frame *frame, int32_t from)
{
    epx_exchange_broken(op->x,
                        epx_fail(EPX_ERR_CORRUPT,
                                 "chunk %u of dispatch %llu from rank %d is "
                                 "malformed",
                                 frame->chunk, (unsigned long long)frame->sequence, from),
                        from);
    return false;
}

bool epx_place_chunk(epx_dispatch_op *op, int32_t in_index, const epx_frame *frame, int32_t from)
{
    epx_exchange *x = op->x;
    const epx_exchange_config *cfg = &x->shape.cfg;
    epx_in_stream *in = &op->h->in[in_index];
    uint32_t per_chunk = x->shape.chunk_rows[op->h->plan], first = frame->chunk * per_chunk, i;
    const unsigned char *payload = (const unsigned char *)(frame + 1);
    const unsigned char *scales = payload + (size_t)frame->rows * cfg->row_bytes;
    const unsigned char *meta_at =
        payload + epx_align((size_t)frame->rows * (cfg->row_bytes + (size_t)cfg->scale_bytes), 4);
    const unsigned char *end = payload + frame->bytes;
    uint32_t expected = in->num_rows - first < per_chunk ? in->num_rows - first : per_chunk;
    epx_wire_meta meta;

    if (frame->chunk != op->received[in_index] || frame->chunk >= in->num_chunks ||
        frame->rows != expected || meta_at > end)
        return malformed(op, frame, from);
    in->first_return = frame->tag - frame->chunk;
    for (i = 0; i < expected; i++) {
        epx_relay_row *row = &op->h->relay_rows[in->first_row + first + i];
        size_t bytes =
            epx_wire_read(meta_at, end, cfg->side_channel != 0, op->h->plan == EPX_PLAN_INTRA_FIRST,
                          x->shape.slot_local, epx_shape_slots(&x->shape, x->shape.node), &meta);

        if (bytes == 0 || (!op->again && !remember(x, op->h, in->source, &meta, row)) ||
            (op->again && meta.head.pairs != row->places))
            return malformed(op, frame, from);
        meta_at += bytes;
        write_places(x, op->h, in->source, row, payload + (size_t)i * cfg->row_bytes,
                     scales + (size_t)i * cfg->scale_bytes, meta.side);
    }
    return true;
}

void epx_place_own(epx_dispatch_op *op, uint64_t token)
{
    epx_exchange *x = op->x;
    epx_handle *h = op->h;
    int32_t begin = x->shape.node_begin[x->shape.node];
    int32_t end = x->shape.node_begin[x->shape.node + 1];
    uint16_t slot[UINT8_MAX];
    float weight[UINT8_MAX], side[UINT8_MAX] = {0};
    epx_wire_meta meta = {.head = {.token = (uint32_t)token}, .slot = slot, .weight = weight};
    epx_relay_row *row;
    uint32_t i;

    for (i = h->pair_begin[token]; i < h->pair_begin[token + 1]; i++) {
        int32_t position = (int32_t)h->pairs[i].position;

        if (position < begin || position >= end)
            continue;
        slot[meta.head.pairs] = (uint16_t)(position - begin);
        weight[meta.head.pairs] = h->pairs[i].weight;
        side[meta.head.pairs++] = h->pairs[i].side;
    }
    if (meta.head.pairs == 0)
        return;
    row = &h->relay_rows[op->received[0]++]; /* the own stream's rows come first */
    if (!op->again && !remember(x, h, x->shape.rank, &meta, row)) {
        epx_exchange_broken(x, epx_fail(EPX_ERR_MISMATCH, "own counts do not fit"), -1);
        return;
    }
    write_places(x, h, x->shape.rank, row, op->rows + token * x->shape.cfg.row_bytes,
                 op->scales + token * x->shape.cfg.scale_bytes, side);
}

/* pack.c - see pack.h; the layout of metadata is wire.h's. */
#include "comm/exchange/pack.h"

#include <string.h>

#include "comm/exchange/frame.h"
#include "comm/exchange/wire.h"

static void write_positions(const epx_exchange *x, const epx_pair *pairs, uint32_t count,
                            unsigned char **at)
{
    const int32_t *rank_of = x->shape.position_rank;
    uint32_t i;

    for (i = 0; i < count; i++, *at += sizeof(uint32_t))
        memcpy(*at, &pairs[i].index, sizeof(uint32_t));
    for (i = 0; i < count; i++)
        if (i == 0 || rank_of[pairs[i].position] != rank_of[pairs[i - 1].position]) {
            memcpy(*at, &pairs[i].row, sizeof(uint32_t));
            *at += sizeof(uint32_t);
        }
}

static unsigned char *write_meta(const epx_dispatch_op *op, const epx_stream *stream,
                                 const epx_stream_row *row, unsigned char *at)
{
    const epx_exchange *x = op->x;
    const epx_pair *pairs = op->h->pairs + row->pair;
    uint32_t base = (uint32_t)x->shape.node_begin[stream->node], i;
    epx_wire_head head = {.token = row->token, .pairs = (uint8_t)row->pairs, .alone = row->alone};
    uint16_t slot, zero = 0;

    memcpy(at, &head, sizeof(head));
    at += sizeof(head);
    for (i = 0; i < row->pairs; i++, at += sizeof(slot)) {
        slot = (uint16_t)(pairs[i].position - base);
        memcpy(at, &slot, sizeof(slot));
    }
    if (row->pairs % 2 != 0) {
        memcpy(at, &zero, sizeof(zero));
        at += sizeof(zero);
    }
    for (i = 0; i < row->pairs; i++, at += sizeof(float))
        memcpy(at, &pairs[i].weight, sizeof(float));
    for (i = 0; i < row->pairs && x->shape.cfg.side_channel; i++, at += sizeof(float))
        memcpy(at, &pairs[i].side, sizeof(float));
    if (op->h->plan == EPX_PLAN_INTRA_FIRST)
        write_positions(x, pairs, row->pairs, &at);
    return at;
}

size_t epx_pack_chunk(const epx_dispatch_op *op, const epx_stream *stream, uint32_t chunk,
                      void *slot)
{
    const epx_exchange_config *cfg = &op->x->shape.cfg;
    uint32_t per_chunk = op->x->shape.chunk_rows[op->h->plan], first = chunk * per_chunk, i;
    uint32_t count = stream->num_rows - first < per_chunk ? stream->num_rows - first : per_chunk;
    const epx_stream_row *rows = op->h->rows + stream->first_row + first;
    epx_frame *frame = slot;
    unsigned char *payload = (unsigned char *)(frame + 1), *at = payload;

    for (i = 0; i < count; i++, at += cfg->row_bytes)
        memcpy(at, op->rows + (size_t)rows[i].token * cfg->row_bytes, cfg->row_bytes);
    for (i = 0; i < count && cfg->scale_bytes != 0; i++, at += cfg->scale_bytes)
        memcpy(at, op->scales + (size_t)rows[i].token * cfg->scale_bytes, cfg->scale_bytes);
    for (; (at - payload) % 4 != 0; at++)
        *at = 0; /* metadata is read in place */
    for (i = 0; i < count; i++)
        at = write_meta(op, stream, &rows[i], at);
    memset(frame, 0, sizeof(*frame));
    frame->kind = EPX_FRAME_DISPATCH;
    frame->rows = (uint16_t)count;
    frame->sequence = op->h->sequence;
    frame->source = op->x->shape.rank;
    frame->relay = stream->rho;
    frame->chunk = chunk;
    frame->tag = stream->first_chunk + chunk;
    frame->bytes = (uint64_t)(at - payload);
    epx_frame_seal(frame, op->x->shape.verify);
    return sizeof(*frame) + frame->bytes;
}

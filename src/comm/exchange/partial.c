/* partial.c - see partial.h. Expert outputs are read where their ranks wrote them. */
#include "comm/exchange/partial.h"

#include <string.h>

#include "comm/exchange/frame.h"
#include "core/size.h"
#include "kernels/reduce.h"

size_t epx_partial_row_bytes(const epx_shape *shape, bool whole, uint32_t pairs)
{
    size_t value = whole ? shape->elem_bytes : sizeof(float);

    return epx_align(shape->cfg.combine_elems * value, 4) +
           (shape->cfg.side_channel != 0 ? pairs * sizeof(float) : 0);
}

void epx_partial_sum(const epx_combine_op *op, const epx_relay_row *row, float *acc)
{
    const epx_exchange *x = op->x;
    const epx_place *places = op->h->places + row->place;
    size_t row_bytes = x->shape.cfg.combine_elems * x->shape.elem_bytes;
    epx_term terms[UINT8_MAX];
    uint32_t i;

    for (i = 0; i < row->places; i++) {
        terms[i].row =
            epx_exchange_outputs(x, places[i].local, op->output_set) + places[i].output * row_bytes;
        terms[i].weight = places[i].weight;
        terms[i].first_of_rank = i == 0 || places[i].local != places[i - 1].local;
    }
    epx_reduce_terms(terms, row->places, (epx_type)x->shape.cfg.combine_type, 0,
                     x->shape.cfg.combine_elems, acc);
}

static unsigned char *write_row(const epx_combine_op *op, const epx_relay_row *row,
                                unsigned char *at)
{
    const epx_exchange *x = op->x;
    const epx_exchange_config *cfg = &x->shape.cfg;
    const epx_place *places = op->h->places + row->place;
    bool whole = op->h->plan != EPX_PLAN_FLAT || row->alone;
    uint32_t i;

    if (whole) {
        epx_partial_sum(op, row, x->acc);
        epx_round_row(x->acc, (epx_type)cfg->combine_type, cfg->combine_elems, at);
    } else {
        epx_partial_sum(op, row, (float *)(void *)at);
    }
    at += epx_partial_row_bytes(&x->shape, whole, 0);
    for (i = 0; i < row->places && cfg->side_channel != 0; i++, at += sizeof(float))
        memcpy(at,
               epx_exchange_outputs(x, places[i].local, op->output_set) +
                   x->shape.window.output_side + places[i].output * sizeof(float),
               sizeof(float));
    return at;
}

size_t epx_partial_chunk(const epx_combine_op *op, const epx_in_stream *in, uint32_t chunk,
                         void *slot)
{
    uint32_t per_chunk = op->x->shape.chunk_rows[op->h->plan], first = chunk * per_chunk, i;
    uint32_t count = in->num_rows - first < per_chunk ? in->num_rows - first : per_chunk;
    const epx_relay_row *rows = op->h->relay_rows + in->first_row + first;
    epx_frame *frame = slot;
    unsigned char *payload = (unsigned char *)(frame + 1), *at = payload;

    for (i = 0; i < count; i++)
        at = write_row(op, &rows[i], at);
    memset(frame, 0, sizeof(*frame));
    frame->kind = EPX_FRAME_COMBINE;
    frame->rows = (uint16_t)count;
    frame->sequence = op->x->combines;
    frame->source = in->source;
    frame->relay = op->x->shape.rank;
    frame->chunk = chunk;
    frame->tag = in->first_return + chunk;
    frame->bytes = (uint64_t)(at - payload);
    epx_frame_seal(frame, op->x->shape.verify);
    return sizeof(*frame) + frame->bytes;
}

/* flat.c - a flat exchange: rows sorted by rank and expert, counts by MPI_Alltoall, rows by
 * MPI_Alltoallv, the answers back the same way and summed up by the source. */
#include "bench-mpi/flat.h"

#include <limits.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/num.h"

/* ---- Plain blocks ---------------------------------------------------------------------------- */

bool flat_alltoall(const void *send, void *recv, uint64_t bytes, int32_t ranks)
{
    int *counts, *from, *begin;
    int r;

    if (bytes * (uint64_t)ranks > INT_MAX)
        return false;
    counts = tool_alloc("counts", 3 * (size_t)ranks, sizeof(*counts));
    from = counts + ranks;
    begin = from + ranks;
    for (r = 0; r < ranks; r++) {
        counts[r] = (int)bytes;
        begin[r] = r * (int)bytes;
    }
    MPI_Alltoall(counts, 1, MPI_INT, from, 1, MPI_INT, MPI_COMM_WORLD);
    MPI_Alltoallv(send, counts, begin, MPI_BYTE, recv, from, begin, MPI_BYTE, MPI_COMM_WORLD);
    free(counts);
    return true;
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

typedef struct flat {
    const dispatch_case *c; /* borrows */
    int slots;              /* of the rank with most */
    MPI_Datatype row;
    int *slot_counts, *slot_from;    /* [ranks][slots] rows per expert: ours, and theirs for us */
    int *send_counts, *send_begin;   /* [ranks] */
    int *recv_counts, *recv_begin;   /* [ranks] */
    int *cursor;                     /* [ranks][slots] */
    int *position;                   /* [tokens][topk] where a pair's row was packed, -1: none */
    char *packed, *arrived, *result; /* rows */
    float *sum;
} flat;

static int ranks_of(const flat *f)
{
    return f->c->ranks;
}

static oracle_place place_of(const flat *f, int32_t expert)
{
    return f->c->table.places[f->c->table.begin[expert]];
}

void *flat_open(const dispatch_case *c)
{
    flat *f;
    size_t ranks = (size_t)c->ranks, pairs = c->tokens * c->topk, cells;
    int32_t r;

    if (c->max_pairs > INT_MAX || pairs > INT_MAX)
        return NULL;
    f = tool_alloc("flat", 1, sizeof(*f));
    f->c = c;
    for (r = 0; r < c->ranks; r++)
        if (epx_route_num_slots(c->route, r) > f->slots)
            f->slots = epx_route_num_slots(c->route, r);
    cells = ranks * (size_t)f->slots;
    f->slot_counts = tool_alloc("flat", 3 * cells + 4 * ranks, sizeof(int));
    f->slot_from = f->slot_counts + cells;
    f->cursor = f->slot_from + cells;
    f->send_counts = f->cursor + cells;
    f->send_begin = f->send_counts + ranks;
    f->recv_counts = f->send_begin + ranks;
    f->recv_begin = f->recv_counts + ranks;
    f->position = tool_alloc("flat", pairs, sizeof(int));
    f->packed = tool_alloc("flat", pairs, c->row_bytes);
    f->arrived = tool_alloc("flat", c->max_pairs, c->row_bytes);
    f->result = tool_alloc("flat", c->tokens, c->row_bytes);
    f->sum = tool_alloc("flat", c->elems, sizeof(*f->sum));
    MPI_Type_contiguous((int)c->row_bytes, MPI_BYTE, &f->row);
    MPI_Type_commit(&f->row);
    return f;
}

void flat_close(void *state)
{
    flat *f = state;

    MPI_Type_free(&f->row);
    free(f->sum);
    free(f->result);
    free(f->arrived);
    free(f->packed);
    free(f->position);
    free(f->slot_counts);
    free(f);
}

static void count_rows(flat *f)
{
    const dispatch_case *c = f->c;
    size_t pairs = c->tokens * c->topk, p;
    int r, s, at = 0;

    memset(f->slot_counts, 0, (size_t)ranks_of(f) * (size_t)f->slots * sizeof(int));
    for (p = 0; p < pairs; p++) {
        int32_t expert = c->ids[c->rank][p];
        oracle_place place;

        if (expert < 0)
            continue;
        place = place_of(f, expert);
        f->slot_counts[place.rank * f->slots + place.slot]++;
    }
    for (r = 0; r < ranks_of(f); r++) {
        f->send_begin[r] = at;
        for (s = 0; s < f->slots; s++) {
            f->cursor[r * f->slots + s] = at;
            at += f->slot_counts[r * f->slots + s];
        }
        f->send_counts[r] = at - f->send_begin[r];
    }
}

static void pack_rows(flat *f)
{
    const dispatch_case *c = f->c;
    size_t pairs = c->tokens * c->topk, p;

    for (p = 0; p < pairs; p++) {
        int32_t expert = c->ids[c->rank][p];
        oracle_place place;

        f->position[p] = -1;
        if (expert < 0)
            continue;
        place = place_of(f, expert);
        f->position[p] = f->cursor[place.rank * f->slots + place.slot]++;
        memcpy(f->packed + (size_t)f->position[p] * c->row_bytes,
               (const char *)c->rows + p / c->topk * c->row_bytes, c->row_bytes);
    }
}

void flat_dispatch(void *state)
{
    flat *f = state;
    int r, s, at = 0;

    count_rows(f);
    MPI_Alltoall(f->slot_counts, f->slots, MPI_INT, f->slot_from, f->slots, MPI_INT,
                 MPI_COMM_WORLD);
    for (r = 0; r < ranks_of(f); r++) {
        f->recv_begin[r] = at;
        for (s = 0; s < f->slots; s++)
            at += f->slot_from[r * f->slots + s];
        f->recv_counts[r] = at - f->recv_begin[r];
    }
    pack_rows(f);
    MPI_Alltoallv(f->packed, f->send_counts, f->send_begin, f->row, f->arrived, f->recv_counts,
                  f->recv_begin, f->row, MPI_COMM_WORLD);
}

void flat_experts(void *state)
{
    flat *f = state;
    int r, s, i;
    size_t at = 0;

    for (r = 0; r < ranks_of(f); r++)
        for (s = 0; s < f->slots; s++)
            for (i = 0; i < f->slot_from[r * f->slots + s]; i++, at++) {
                char *row = f->arrived + at * f->c->row_bytes;

                dispatch_case_answer(f->c, epx_route_expert(f->c->route, f->c->rank, s), row, row);
            }
}

static void add_row(float *restrict sum, epx_type type, const void *restrict row, float weight,
                    uint32_t elems)
{
    const uint16_t *half = row;
    uint32_t i;

    if (type == EPX_TYPE_BF16) {
        for (i = 0; i < elems; i++)
            sum[i] += weight * num_float((uint32_t)half[i] << 16);
        return;
    }
    for (i = 0; i < elems; i++)
        sum[i] += weight * ((const float *)row)[i];
}

/* Round to nearest even without a branch: finite numbers only, as here. */
static void store_row(void *restrict row, epx_type type, const float *restrict sum, uint32_t elems)
{
    uint16_t *half = row;
    uint32_t i;

    if (type != EPX_TYPE_BF16) {
        memcpy(row, sum, elems * sizeof(*sum));
        return;
    }
    for (i = 0; i < elems; i++) {
        uint32_t bits = num_bits(sum[i]);

        half[i] = (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
    }
}

void flat_combine(void *state)
{
    flat *f = state;
    const dispatch_case *c = f->c;
    size_t t;
    uint32_t k;

    MPI_Alltoallv(f->arrived, f->recv_counts, f->recv_begin, f->row, f->packed, f->send_counts,
                  f->send_begin, f->row, MPI_COMM_WORLD);
    for (t = 0; t < c->tokens; t++) {
        memset(f->sum, 0, c->elems * sizeof(*f->sum));
        for (k = 0; k < c->topk; k++)
            if (f->position[t * c->topk + k] >= 0)
                add_row(f->sum, c->set->type,
                        f->packed + (size_t)f->position[t * c->topk + k] * c->row_bytes,
                        c->weights[c->rank][t * c->topk + k], c->elems);
        store_row(f->result + t * c->row_bytes, c->set->type, f->sum, c->elems);
    }
}

const void *flat_rows(void *state)
{
    return ((flat *)state)->result;
}

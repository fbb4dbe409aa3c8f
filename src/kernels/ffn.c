/* ffn.c - the experts of one rank: two products with an activation between, a block of rows at a
 * time, so that the hidden activation never leaves the caller's scratch. */
#include <epx/kernels.h>

#include "core/size.h"
#include "core/structs.h"
#include "kernels/activation.h"
#include "kernels/gemm.h"
#include "kernels/reduce.h"

/* What the workspace holds from its first 64-byte boundary on. */
typedef struct work {
    epx_gemm_scratch scratch;
    float gate[EPX_GEMM_ROWS * EPX_GEMM_COLS];
    float up[EPX_GEMM_ROWS * EPX_GEMM_COLS];
    unsigned char hidden[]; /* [EPX_GEMM_ROWS][ffn] of the caller's type */
} work;

/* One expert as the loops see it. */
typedef struct expert {
    const epx_ffn *ffn;
    epx_isa isa;
    const void *gate; /* NULL when the activation has none */
    const void *up;
    const void *down;
    const float *bias_gate;
    const float *bias_up;
    const float *bias_down;
} expert;

static bool gated(const epx_ffn *ffn)
{
    return epx_activation_gated((epx_activation)ffn->activation);
}

static epx_status read_ffn(const epx_ffn *theirs, epx_ffn *ffn)
{
    epx_status st = epx_struct_read("ffn", theirs, ffn, sizeof(*ffn));
    size_t matrix, bytes;

    if (st != EPX_OK)
        return st;
    if (ffn->type != EPX_TYPE_BF16 && ffn->type != EPX_TYPE_F32)
        return epx_fail(EPX_ERR_INVALID, "ffn: type %u is neither BF16 (%d) nor F32 (%d)",
                        ffn->type, EPX_TYPE_BF16, EPX_TYPE_F32);
    if (ffn->activation > EPX_ACT_RELU)
        return epx_fail(EPX_ERR_INVALID, "ffn: activation %u is none of 0..%d", ffn->activation,
                        EPX_ACT_RELU);
    if (ffn->hidden == 0 || ffn->ffn == 0 || ffn->num_slots < 0)
        return epx_fail(EPX_ERR_INVALID, "ffn: hidden %u, ffn %u, %d slots", ffn->hidden, ffn->ffn,
                        ffn->num_slots);
    if (!epx_mul_size(ffn->hidden, ffn->ffn, &matrix) ||
        !epx_mul_size(matrix, 2 * epx_type_size((epx_type)ffn->type), &matrix) ||
        !epx_mul_size(matrix, (size_t)ffn->num_slots, &bytes))
        return epx_fail(EPX_ERR_OVERFLOW, "ffn: %d slots of %u x %u weights do not fit",
                        ffn->num_slots, ffn->hidden, ffn->ffn);
    return EPX_OK;
}

size_t epx_kernel_ffn_workspace(const epx_ffn *theirs)
{
    epx_ffn ffn;

    if (read_ffn(theirs, &ffn) != EPX_OK)
        return 0;
    return 63 + sizeof(work) + (size_t)EPX_GEMM_ROWS * ffn.ffn * epx_type_size((epx_type)ffn.type);
}

static epx_status check_call(const epx_ffn *ffn, const void *rows, const uint64_t *slot_begin,
                             const void *outputs, const void *workspace)
{
    size_t row_bytes = ffn->hidden * epx_type_size((epx_type)ffn->type), bytes;
    uint64_t count;

    if (slot_begin == NULL)
        return epx_fail(EPX_ERR_INVALID, "ffn: slot_begin is NULL");
    for (int32_t s = 0; s < ffn->num_slots; s++)
        if (slot_begin[s + 1] < slot_begin[s])
            return epx_fail(EPX_ERR_INVALID, "ffn: slot %d begins at %llu and ends at %llu", s,
                            (unsigned long long)slot_begin[s],
                            (unsigned long long)slot_begin[s + 1]);
    if (!epx_mul_size(slot_begin[ffn->num_slots], row_bytes, &bytes))
        return epx_fail(EPX_ERR_OVERFLOW, "ffn: %llu rows of %zu bytes do not fit",
                        (unsigned long long)slot_begin[ffn->num_slots], row_bytes);
    count = slot_begin[ffn->num_slots] - slot_begin[0];
    if (count > 0 && (rows == NULL || outputs == NULL || workspace == NULL || ffn->w13 == NULL ||
                      ffn->w2 == NULL))
        return epx_fail(EPX_ERR_INVALID, "ffn: %s is NULL with %llu rows",
                        rows == NULL        ? "rows"
                        : outputs == NULL   ? "outputs"
                        : workspace == NULL ? "workspace"
                        : ffn->w13 == NULL  ? "w13"
                                            : "w2",
                        (unsigned long long)count);
    return EPX_OK;
}

static expert expert_of(const epx_ffn *ffn, int32_t slot)
{
    size_t s = (size_t)slot, up_parts = gated(ffn) ? 2 : 1;
    size_t matrix = (size_t)ffn->hidden * ffn->ffn * epx_type_size((epx_type)ffn->type);
    const unsigned char *w13 = (const unsigned char *)ffn->w13 + s * up_parts * matrix;
    const float *bias13 = ffn->bias13 == NULL ? NULL : ffn->bias13 + s * up_parts * ffn->ffn;
    expert e = {.ffn = ffn, .isa = epx_isa_best()};

    e.gate = up_parts == 2 ? w13 : NULL;
    e.up = w13 + (up_parts - 1) * matrix;
    e.down = (const unsigned char *)ffn->w2 + s * matrix;
    e.bias_gate = bias13;
    e.bias_up = bias13 == NULL ? NULL : bias13 + (up_parts - 1) * ffn->ffn;
    e.bias_down = ffn->bias2 == NULL ? NULL : ffn->bias2 + s * ffn->hidden;
    return e;
}

static void add_bias(epx_isa isa, const float *bias, uint32_t num_rows, uint32_t cols, float *sums)
{
    for (uint32_t r = 0; bias != NULL && r < num_rows; r++)
        epx_reduce_row(isa, bias, EPX_TYPE_F32, 1.0f, true, cols, sums + r * EPX_GEMM_COLS);
}

/* `to` is the first element of the block in a matrix with rows of to_elems. */
static void round_block(const expert *e, const float *sums, uint32_t num_rows, uint32_t cols,
                        uint32_t to_elems, unsigned char *to)
{
    epx_type type = (epx_type)e->ffn->type;

    for (uint32_t r = 0; r < num_rows; r++)
        epx_reduce_round(e->isa, sums + r * EPX_GEMM_COLS, type, cols,
                         to + (size_t)r * to_elems * epx_type_size(type));
}

/* Rows first.. of the caller to the block's hidden activation. */
static void compute_hidden(const expert *e, const void *rows, const uint32_t *row_of,
                           uint64_t first, uint32_t num_rows, work *w)
{
    const epx_ffn *ffn = e->ffn;
    epx_type type = (epx_type)ffn->type;
    epx_gemm gemm = {.isa = e->isa,
                     .rows = rows,
                     .row_type = type,
                     .row_of = row_of,
                     .weight_type = type,
                     .depth = ffn->hidden};

    for (uint32_t c = 0, cols; c < ffn->ffn; c += cols) {
        cols = ffn->ffn - c < EPX_GEMM_COLS ? ffn->ffn - c : EPX_GEMM_COLS;
        if (e->gate != NULL) {
            gemm.weights = e->gate;
            epx_gemm_block(&gemm, first, num_rows, c, cols, &w->scratch, w->gate);
            add_bias(e->isa, e->bias_gate == NULL ? NULL : e->bias_gate + c, num_rows, cols,
                     w->gate);
        }
        gemm.weights = e->up;
        epx_gemm_block(&gemm, first, num_rows, c, cols, &w->scratch, w->up);
        add_bias(e->isa, e->bias_up == NULL ? NULL : e->bias_up + c, num_rows, cols, w->up);
        epx_activate(e->isa, (epx_activation)ffn->activation, w->gate, w->up,
                     (size_t)num_rows * EPX_GEMM_COLS);
        round_block(e, w->up, num_rows, cols, ffn->ffn, w->hidden + c * epx_type_size(type));
    }
}

/* The block's hidden activation to outputs first... */
static void compute_outputs(const expert *e, uint64_t first, uint32_t num_rows, work *w,
                            unsigned char *outputs)
{
    const epx_ffn *ffn = e->ffn;
    epx_type type = (epx_type)ffn->type;
    epx_gemm gemm = {.isa = e->isa,
                     .rows = w->hidden,
                     .row_type = type,
                     .weights = e->down,
                     .weight_type = type,
                     .depth = ffn->ffn};

    for (uint32_t c = 0, cols; c < ffn->hidden; c += cols) {
        cols = ffn->hidden - c < EPX_GEMM_COLS ? ffn->hidden - c : EPX_GEMM_COLS;
        epx_gemm_block(&gemm, 0, num_rows, c, cols, &w->scratch, w->up);
        add_bias(e->isa, e->bias_down == NULL ? NULL : e->bias_down + c, num_rows, cols, w->up);
        round_block(e, w->up, num_rows, cols, ffn->hidden,
                    outputs + (first * ffn->hidden + c) * epx_type_size(type));
    }
}

epx_status epx_kernel_ffn(const epx_ffn *theirs, const void *rows, const uint32_t *row_of,
                          const uint64_t *slot_begin, void *outputs, void *workspace)
{
    work *w = (work *)epx_align((uintptr_t)workspace, 64);
    epx_ffn ffn;
    epx_status st = read_ffn(theirs, &ffn);

    if (st == EPX_OK)
        st = check_call(&ffn, rows, slot_begin, outputs, workspace);
    if (st != EPX_OK)
        return st;
    for (int32_t s = 0; s < ffn.num_slots; s++) {
        expert e;

        if (slot_begin[s] == slot_begin[s + 1]) /* its weights may not even exist */
            continue;
        e = expert_of(&ffn, s);
        for (uint64_t first = slot_begin[s], now; first < slot_begin[s + 1]; first += now) {
            now = slot_begin[s + 1] - first < EPX_GEMM_ROWS ? slot_begin[s + 1] - first
                                                            : EPX_GEMM_ROWS;
            compute_hidden(&e, rows, row_of, first, (uint32_t)now, w);
            compute_outputs(&e, first, (uint32_t)now, w, outputs);
        }
    }
    return EPX_OK;
}

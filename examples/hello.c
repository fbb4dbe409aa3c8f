/* hello.c - a few tokens visit their experts: alone, or under mpirun, torchrun, srun.
 * Expert e multiplies by e + 1; a token's result is the sum over its two experts. */
#include <stdio.h>
#include <stdlib.h>

#include <epx/epx.h>

enum { TOKENS = 3, TOPK = 2, EXPERTS = 8 };

static void must(epx_status st)
{
    if (st != EPX_OK) {
        fprintf(stderr, "%s\n", epx_last_error());
        exit(1);
    }
}

int main(void)
{
    const int32_t ids[TOKENS][TOPK] = {{0, 7}, {3, 4}, {6, 1}};
    float rows[TOKENS] = {1, 10, 100}, results[TOKENS];
    epx_exchange_config cfg = {.struct_size = sizeof(cfg), .max_tokens = TOKENS, .max_topk = TOPK};
    epx_dispatch_in in = {.struct_size = sizeof(in), .num_tokens = TOKENS, .topk = TOPK};
    epx_dispatch_out got = {.struct_size = sizeof(got)};
    epx_combine_in back = {.struct_size = sizeof(back)};
    epx_combine_out out = {.struct_size = sizeof(out), .rows = results};
    epx_comm *comm;
    epx_exchange *x;
    epx_handle *handle;
    int32_t first;

    must(epx_comm_create(NULL, &comm)); /* the launcher says who and where we are */
    cfg.num_experts = EXPERTS;          /* in blocks over the ranks */
    cfg.row_bytes = sizeof(float);
    cfg.combine_type = EPX_TYPE_F32;
    cfg.max_recv_rows = (uint64_t)epx_comm_size(comm) * TOKENS * TOPK; /* even all to one rank */
    must(epx_exchange_create(comm, &cfg, NULL, &x));

    in.rows = rows;
    in.ids = &ids[0][0];
    must(epx_dispatch_start(x, &in, NULL, &handle));
    must(epx_dispatch_finish(handle, &got));
    first = EXPERTS / epx_comm_size(comm) * epx_comm_rank(comm);
    for (int32_t slot = 0; slot < got.num_slots; slot++) /* one local expert after the other */
        for (uint64_t p = got.slot_begin[slot]; p < got.slot_begin[slot + 1]; p++)
            ((float *)got.outputs)[p] =
                ((const float *)got.rows)[got.pair_row[p]] * (float)(first + slot + 1);
    back.outputs = got.outputs;
    must(epx_combine_start(handle, &back, &out, NULL));
    must(epx_combine_finish(handle));

    for (int t = 0; t < TOKENS; t++)
        printf("rank %d: %g became %g\n", epx_comm_rank(comm), (double)rows[t], (double)results[t]);
    epx_handle_release(handle);
    epx_exchange_destroy(x);
    epx_comm_destroy(comm);
    return 0;
}

/* layer_model.h - one MoE layer with made-up weights, and what it must answer.
 *
 * Any rank can make any expert's weights, so every rank checks its own tokens without asking the
 * others: expert by expert, a row at a time through the same kernel, summed up by the oracle. */
#ifndef TOOLS_COMMON_LAYER_MODEL_H
#define TOOLS_COMMON_LAYER_MODEL_H

#include <stdbool.h>

#include <epx/kernels.h>

#include "common/oracle.h"

#define LAYER_SAMPLES 8 /* tokens per rank that are compared with float64 */

typedef struct layer_model {
    uint64_t seed;
    epx_type type;
    uint32_t hidden, ffn;
    int32_t num_experts;
    uint32_t topk;
    uint32_t activation; /* epx_activation */
    epx_gate gate;
    uint32_t shared_ffn; /* 0: no shared expert */
    bool has_bias;
    bool identity; /* experts answer their input: model compute */
    float *router; /* [num_experts][hidden]; owns */
} layer_model;

/* Weights of consecutive experts, as epx_ffn wants them. */
typedef struct layer_weights {
    void *w13;
    void *w2;
    float *bias13; /* NULL without biases */
    float *bias2;
} layer_weights;

/* Fills in the gate's sizes and makes the router: zeros, to be set, when seed is not to be used. */
void layer_model_init(layer_model *m, bool random_router);
void layer_model_close(layer_model *m);

/* A kernel description of `slots` experts with these weights. */
epx_ffn layer_ffn(const layer_model *m, const layer_weights *w, int32_t slots, bool shared);

layer_weights layer_weights_alloc(const layer_model *m, int32_t slots, bool shared);
void layer_weights_free(layer_weights *w);
/* Makes the weights of `expert` (-1: the shared one) in place `slot`. */
void layer_weights_fill(const layer_model *m, layer_weights *w, int32_t slot, int32_t expert);

/* Where tokens live: what the oracle has to know about the job. */
typedef struct layer_job {
    int32_t num_ranks;
    int32_t rank;           /* whose tokens these are */
    const int32_t *node_of; /* [num_ranks] */
    oracle_table *table;
} layer_job;

/* What rank's tokens x [num_tokens][hidden] must give, bit by bit, and the largest error of the
 * answer y against float64 on LAYER_SAMPLES tokens, relative to the largest element of the row. */
typedef struct layer_verdict {
    uint64_t wrong; /* elements whose bits differ */
    double max_rel_err;
    double limit;
} layer_verdict;

epx_status layer_check(const layer_model *m, const layer_job *job, const void *x,
                       uint64_t num_tokens, const void *y, layer_verdict *verdict_out);

#endif /* TOOLS_COMMON_LAYER_MODEL_H */

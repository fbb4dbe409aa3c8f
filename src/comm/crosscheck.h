/* crosscheck.h - ranks compare what must be equal on all of them, before it can do harm. */
#ifndef EPX_COMM_CROSSCHECK_H
#define EPX_COMM_CROSSCHECK_H

#include <epx/comm.h>

#define EPX_FIELDS_MAX 32

typedef struct epx_field {
    const char *name;
    uint64_t value;
} epx_field;

/* Collective. EPX_ERR_MISMATCH, on all ranks, names the first field that differs, both values and
 * both ranks. `what` says whose fields they are. `local`: this rank's own verdict so far; if any
 * rank brings a failure, all ranks fail, the others with EPX_ERR_ABORTED naming it. */
EPX_NODISCARD epx_status epx_crosscheck(epx_comm *comm, const char *what, epx_status local,
                                        const epx_field *fields, size_t count);

#endif /* EPX_COMM_CROSSCHECK_H */

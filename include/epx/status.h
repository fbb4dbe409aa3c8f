/* status.h - what can go wrong, grouped by what it breaks.
 *
 * Every fallible call returns an epx_status. On failure outputs are untouched, and
 * epx_last_error() tells the calling thread's latest failure in one full sentence. */
#ifndef EPX_STATUS_H
#define EPX_STATUS_H

#include <epx/export.h>

EPX_BEGIN_DECLS

/* name, value, text. -1..-19 break the call: fix the argument and call again. -20..-39 break one
 * peer. -40 and below break the communicator: destroy it. Values never change. */
#define EPX_STATUS_LIST(X)                                                                         \
    X(OK, 0, "success")                                                                            \
    X(ERR_INVALID, -1, "invalid argument")                                                         \
    X(ERR_NO_MEMORY, -2, "out of memory")                                                          \
    X(ERR_UNSUPPORTED, -3, "not supported by this build or machine")                               \
    X(ERR_OVERFLOW, -4, "a count or size does not fit")                                            \
    X(ERR_BAD_ROUTING, -5, "expert id out of range or gate weight not finite")                     \
    X(ERR_CAPACITY, -6, "more rows than the receive window holds")                                 \
    X(ERR_BUSY, -7, "an operation is still in flight")                                             \
    X(ERR_STALE, -8, "the route of this handle was revoked")                                       \
    X(ERR_IO, -9, "a file cannot be read or written")                                              \
    X(ERR_PEER_LOST, -20, "a peer died or became unreachable")                                     \
    X(ERR_CORRUPT, -21, "received data failed its check")                                          \
    X(ERR_TIMEOUT, -40, "deadline passed before every peer took part")                             \
    X(ERR_MISMATCH, -41, "ranks disagree on configuration, version or order of calls")             \
    X(ERR_AUTH, -42, "a peer could not prove that it belongs to this job")                         \
    X(ERR_ABORTED, -43, "communicator was aborted")                                                \
    X(ERR_SYSTEM, -44, "system, driver or transport failure")

typedef enum epx_status {
#define EPX_X(name, value, text) EPX_##name = (value),
    EPX_STATUS_LIST(EPX_X)
#undef EPX_X
} epx_status;

typedef enum epx_scope { EPX_SCOPE_CALL, EPX_SCOPE_PEER, EPX_SCOPE_COMM } epx_scope;

/* What a status breaks. EPX_OK counts as the call. Any thread. */
EPX_API epx_scope epx_status_scope(epx_status st);
/* "EPX_ERR_TIMEOUT"; static storage, never NULL. Any thread. */
EPX_API const char *epx_status_name(epx_status st);
/* "deadline passed before ..."; static storage, never NULL. Any thread. */
EPX_API const char *epx_status_text(epx_status st);
/* The calling thread's latest failure: "rank 5 silent for 2003 ms in combine 71". Never NULL;
 * valid until this thread's next epx call. */
EPX_API const char *epx_last_error(void);

EPX_END_DECLS

#endif /* EPX_STATUS_H */

/* env.h - the one table of EPX_* variables: name, default, help.
 *
 * Variables are read at create time only, never on a hot path. A configuration struct's field wins
 * over the variable, the variable over the default. */
#ifndef EPX_CORE_ENV_H
#define EPX_CORE_ENV_H

#include <stddef.h>
#include <stdint.h>

#include "core/fail.h"

/* id, default, help. At most 25 of them. */
#define EPX_ENV_LIST(X)                                                                            \
    X(LOG, "warn", "what is logged: error, warn, info, debug, trace")                              \
    X(LOG_FILE, "", "log to this file, %h host, %r rank, %p pid; empty: stderr")                   \
    X(TIMEOUT_MS, "30000", "milliseconds without progress before a step fails")                    \
    X(PORT, "", "TCP port of the rendezvous; empty: the launcher's, then the next free of 16")     \
    X(INTERFACE, "",                                                                               \
      "network interface for rendezvous and data; empty: the one that reaches "                    \
      "rank 0")                                                                                    \
    X(NODE, "", "name of this rank's node; empty: detected")                                       \
    X(JOB_KEY_FILE, "", "file with the 32-byte job key, mode 0600; empty: the launcher's")         \
    X(SECURITY, "auto", "auto: warn when there is no job key; require: refuse")                    \
    X(LINK, "ucx", "transport between nodes: ucx")                                                 \
    X(UCX_TLS, "", "UCX_TLS for epx only; empty: tcp, or UCX's choice where a fabric exists")      \
    X(PLAN, "auto", "auto, flat, intra-first or inter-first")                                      \
    X(CHUNK_BYTES, "131072", "largest piece of an exchange that moves at once")                    \
    X(DEPTH, "4", "chunks in flight per peer and hop, 1 to 64")                                    \
    X(PROGRESS, "thread", "thread: operations advance by themselves; caller: only in finish")      \
    X(SPIN, "50", "turns without work before a waiting rank sleeps")                               \
    X(VERIFY, "0", "1: checksum every payload between nodes, 0: heads only")                       \
    X(RECORD, "2048", "events kept for diagnosis per communicator, 0 to 1048576")

typedef enum epx_env {
#define EPX_X(id, fallback, help) EPX_ENV_##id,
    EPX_ENV_LIST(EPX_X)
#undef EPX_X
        EPX_ENV_COUNT
} epx_env;

typedef struct epx_env_entry {
    const char *name; /* "EPX_LOG" */
    const char *fallback;
    const char *help;
} epx_env_entry;

const epx_env_entry *epx_env_table(void); /* EPX_ENV_COUNT entries */

/* The variable's text, or its default. Never NULL; valid until the environment changes. */
const char *epx_env_text(epx_env id);

/* As a number within [low, high], or EPX_ERR_INVALID naming variable, value and bounds. */
EPX_NODISCARD epx_status epx_env_number(epx_env id, uint64_t low, uint64_t high,
                                        uint64_t *value_out);

/* Index of the text in choices[count], or EPX_ERR_INVALID naming variable and value. */
EPX_NODISCARD epx_status epx_env_choice(epx_env id, const char *const *choices, size_t count,
                                        size_t *index_out);

/* Logs one warning for each EPX_* variable that does not exist, with the nearest name. */
void epx_env_warn_unknown(void);

#endif /* EPX_CORE_ENV_H */

/* log.h - one line per event on stderr or EPX_LOG_FILE, never on stdout.
 *
 * Only the first detector logs; text is lower case, values follow a space: "peer 5 lost". */
#ifndef EPX_CORE_LOG_H
#define EPX_CORE_LOG_H

#include <stdbool.h>

#include <epx/export.h>

typedef enum epx_log_level {
    EPX_LOG_ERROR,
    EPX_LOG_WARN,
    EPX_LOG_INFO,
    EPX_LOG_DEBUG,
    EPX_LOG_TRACE
} epx_log_level;

/* Cheap when the level is off. EPX_LOG=error|warn|info|debug|trace, default warn. Any thread. */
bool epx_log_on(epx_log_level level);
void epx_log(epx_log_level level, const char *format, ...) EPX_PRINTF(2, 3);
/* Names this process in its log lines and in EPX_LOG_FILE (%h host, %r rank, %p pid). */
void epx_log_set_rank(int rank);

#endif /* EPX_CORE_LOG_H */

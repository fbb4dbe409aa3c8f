/* key.c - the job key file and the policy without a key. */
#include "comm/boot/key.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "comm/boot/auth.h"
#include "core/env.h"
#include "core/log.h"

static epx_status check_file(const char *path, const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return epx_fail(EPX_ERR_AUTH, "job key file %s is not a regular file", path);
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return epx_fail(EPX_ERR_AUTH, "job key file %s belongs to uid %u, not to us or root", path,
                        (unsigned)st->st_uid);
    if ((st->st_mode & 07777) != 0600 && (st->st_mode & 07777) != 0400)
        return epx_fail(EPX_ERR_AUTH, "job key file %s has mode %04o, expected 0600", path,
                        (unsigned)(st->st_mode & 07777));
    if (st->st_size != EPX_KEY_BYTES)
        return epx_fail(EPX_ERR_AUTH, "job key file %s has %lld bytes, expected %d", path,
                        (long long)st->st_size, EPX_KEY_BYTES);
    return EPX_OK;
}

epx_status epx_key_read(const char *path, uint8_t key_out[EPX_KEY_BYTES])
{
    /* O_NONBLOCK: a planted pipe must not hold us up. */
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    uint8_t key[EPX_KEY_BYTES];
    struct stat info;
    epx_status st;

    if (fd < 0)
        return epx_fail(EPX_ERR_AUTH, "job key file %s: %s", path,
                        errno == ELOOP ? "is a symbolic link" : strerror(errno));
    if (fstat(fd, &info) != 0)
        st = epx_fail(EPX_ERR_AUTH, "job key file %s: %s", path, strerror(errno));
    else
        st = check_file(path, &info);
    if (st == EPX_OK && read(fd, key, sizeof(key)) != (ssize_t)sizeof(key))
        st = epx_fail(EPX_ERR_AUTH, "job key file %s: cannot read %d bytes", path, EPX_KEY_BYTES);
    close(fd);
    if (st == EPX_OK)
        memcpy(key_out, key, sizeof(key));
    epx_auth_wipe(key, sizeof(key));
    return st;
}

epx_status epx_key_find(uint8_t key_out[EPX_KEY_BYTES], bool *found_out)
{
    const char *path = epx_env_text(EPX_ENV_JOB_KEY_FILE);

    *found_out = path[0] != '\0';
    return *found_out ? epx_key_read(path, key_out) : EPX_OK;
}

epx_status epx_key_missing(int32_t rank)
{
    static const char *const choices[] = {"auto", "require"};
    size_t choice = 0;
    epx_status st = epx_env_choice(EPX_ENV_SECURITY, choices, 2, &choice);

    if (st != EPX_OK)
        return st;
    if (choice == 1)
        return epx_fail(EPX_ERR_AUTH,
                        "EPX_SECURITY is require and this job has no key: set EPX_JOB_KEY_FILE to "
                        "a file of %d random bytes, mode 0600, on every rank",
                        EPX_KEY_BYTES);
    if (rank == 0)
        epx_log(EPX_LOG_WARN, "THIS JOB HAS NO KEY: whoever reaches rank 0's port can take part; "
                              "set EPX_JOB_KEY_FILE (32 random bytes, mode 0600)");
    return EPX_OK;
}

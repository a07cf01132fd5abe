/* acme/folder.h: what is kept of ACME between one process and the next, and between nodes that share it: a folder that only
 * weir's user may look into. In it are
 *
 *     account-HASH.key        the account with one CA, whose directory's URL has that hash
 *     NAME.ecdsa.pem          a certificate, by the first of its names: its key, then its chain
 *     NAME.ecdsa.attempts     what came of trying to have one, and what it was
 *     pace                    when orders began in the last hour
 *     lock                    held while an order goes on, and says by whom
 *     challenges/TOKEN        proofs that a CA looks for at the moment
 *
 * Each file is written beside its place and renamed. The lock is the kernel's, on bytes of an open file (fcntl(2), F_OFD_SETLK),
 * so that it ends with its holder however that ends, and over NFS, too, where a node that is gone loses it with its lease. One
 * thread. */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>

#include "acme/schedule.h"
#include "base/err.h"
#include "base/slice.h"
#include "tls/challenges.h"

struct acme_folder;

/* Makes it if there is none. */
MUST_CHECK int acme_folder_open(struct acme_folder **out, const char *path, struct err *err);
void acme_folder_close(struct acme_folder *f); /* NULL is fine */
/* Of a certificate: "PATH/NAME.ecdsa.pem", within `room`; false: it is too long. */
bool acme_folder_file(const char *path, const char *name, const char *kind, char *out, size_t room);

#define ACME_HOLDER_ROOM 200u
enum acme_lock {
    ACME_LOCK_OWN,
    ACME_LOCK_OTHERS, /* another has it, who says what he is in `holder` */
    ACME_LOCK_NONE    /* it cannot be had here, for which err has a reason */
};
/* With it, what others were writing when they ended an hour ago is removed. */
enum acme_lock acme_folder_lock(struct acme_folder *f, char holder[ACME_HOLDER_ROOM], struct err *err);
void acme_folder_unlock(struct acme_folder *f);

/* The account with this CA; made if there is none. Held locked. NULL: err. */
EVP_PKEY *acme_folder_account(struct acme_folder *f, const char *directory, struct err *err);
/* Beside the certificate's file. `error`: one line, or empty. */
#define ACME_ERROR_ROOM 600u
void acme_folder_read_attempts(struct acme_folder *f, const char *name, const char *kind,
                               struct acme_attempts *a, char error[ACME_ERROR_ROOM]);
MUST_CHECK int acme_folder_keep_attempts(struct acme_folder *f, const char *name, const char *kind,
                                         const struct acme_attempts *a, const char *error, struct err *err);
/* The same for who has not opened it: beside that file. */
void acme_folder_read_attempts_of(const char *file, struct acme_attempts *a, char error[ACME_ERROR_ROOM]);
void acme_folder_read_pace(struct acme_folder *f, struct acme_pace *p);
MUST_CHECK int acme_folder_keep_pace(struct acme_folder *f, const struct acme_pace *p, struct err *err);

/* A key and a chain, beside where they are to be; acme_folder_publish() puts them there. */
#define ACME_PATH_ROOM 4600u
MUST_CHECK int acme_folder_stage(struct acme_folder *f, struct slice key, struct slice chain,
                                 char staged[ACME_PATH_ROOM], struct err *err);
MUST_CHECK int acme_folder_publish(struct acme_folder *f, const char *staged, const char *name,
                                   const char *kind, struct err *err);
void acme_folder_unstage(const char *staged);

/* Where every node finds it. */
MUST_CHECK int acme_folder_show(struct acme_folder *f, const struct tls_challenge *c, struct err *err);
void acme_folder_unshow(struct acme_folder *f, const char *token);
/* Those that are shown by any node, for as long as the callback; what was left behind an hour ago is removed. The callback's false: it
 * has no memory for them. 1: they may be others than those of the last time; 0: they are not, and nobody is called; -1: there is no
 * memory for them, and the next call begins anew. */
#define ACME_SHOWN_MAX 1000u
MUST_CHECK int acme_folder_each_shown(struct acme_folder *f,
                                      bool (*use)(void *context, const struct tls_challenge *all,
                                                  uint32_t count),
                                      void *context, struct err *err);

/* Certificates made for one test, in a folder of its own. */
#pragma once

#include <openssl/x509.h>
#include <stddef.h>

enum pki_key { PKI_EC, PKI_RSA, PKI_RSA_WEAK, PKI_ED25519 };

/* What a certificate is to be. */
struct pki_wish {
    const char *file; /* writes FILE.pem and FILE.key */
    const char *common_name;
    const char *names; /* "DNS:a.example,DNS:*.b.example"; NULL: none */
    enum pki_key key;
    const char *issuer;    /* another's file; NULL: itself */
    int from_days, days;   /* relative to now: valid from, and for so long */
    int is_ca, has_issuer; /* the issuer's certificate is put behind it */
};

/* Makes the folder, the same for the whole program; removed by pki_remove(). */
const char *pki_folder(void);
void pki_remove(void);
/* "<folder>/<file><ending>"; of a few places in turn. */
const char *pki_path(const char *file, const char *ending);
void pki_make(const struct pki_wish *wish);
void pki_write(const char *file, const char *ending, const char *text);
/* The whole file, the caller's. */
char *pki_read(const char *file, const char *ending);

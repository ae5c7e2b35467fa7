"""Whether measures of similarity predict transfer: their values for every source, and how these relate to the AUCs.

In: image stores and pretrained networks of a profile, AUCs. Out: tables of similarity, ranks and associations.
No network is trained.
"""

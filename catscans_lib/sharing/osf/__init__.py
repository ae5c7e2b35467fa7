"""A folder of results and its copy on the Open Science Framework: what is sent, fetched, compared."""

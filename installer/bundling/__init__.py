"""Makes a bundle: everything gathered on this machine, verified as far as its origin allows, and
described in a manifest.

    systems      which releases of distributions, and where apt has their packages
    packages     their packages, with all that these need beyond the smallest system
    wheels       the installer itself: its tree, and the wheels that it needs
    gathering    all of it, as members with their files
"""
